package floors

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// waysOut are the files that connect to others or ask DNS servers, and why MILLPOND_OFFLINE
// does not matter to those beside the mirrors' package, which has a test of its own.
var waysOut = map[string]string{
	"internal/mirror/out.go":             "the way to mirrors",
	"internal/mirror/client.go":          "its transports dial by out.go",
	"internal/mirror/lookup.go":          "the resolver that out.go asks",
	"internal/mirror/pool.go":            "its transports dial by out.go",
	"internal/mirror/resolver.go":        "likewise",
	"internal/mirror/dial.go":            "the dialer that out.go takes",
	"internal/mirror/through.go":         "likewise",
	"internal/swarm/bootstrap.go":        "other boxes are no mirrors",
	"internal/swarm/entries.go":          "the names of other boxes",
	"internal/swarm/blobproto/client.go": "over a stream of the swarm",
	"internal/hostnames/hostnames.go":    "the names of clients",
	"appliance/privacy.go":               "likewise",
	"appliance/ask.go":                   "a command asks the box",
	"appliance/supervisor.go":            "the service manager's socket",
	"appliance/start.go":                 "finds an address of this machine; nothing is sent",
}

// TestWaysOut keeps the ways out of the box few and known: with MILLPOND_OFFLINE nothing
// may be sent to a mirror.
func TestWaysOut(t *testing.T) {
	t.Parallel()
	found := make(map[string]bool)
	for _, f := range sources(t) {
		if f.test || slices.Contains(forTests, f.pkg) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || !isWayOut(s) {
				return true
			}
			found[f.name] = true
			if waysOut[f.name] == "" {
				t.Errorf("%s: %s is a way out of the box: take package mirror, or say above why it is none to a mirror", f.name, s.Sel.Name)
			}
			return true
		})
	}
	for name := range waysOut {
		if !found[name] {
			t.Errorf("%s is no way out any more", name)
		}
	}
}

// isWayOut reports whether s is what connects, or asks a DNS server, in net and net/http.
func isWayOut(s *ast.SelectorExpr) bool {
	of, _ := s.X.(*ast.Ident)
	name := s.Sel.Name
	if of != nil && of.Name == "net" {
		return strings.HasPrefix(name, "Dial") || strings.HasPrefix(name, "Lookup") && name != "LookupPort" || name == "DefaultResolver" || name == "Resolver"
	}
	if of != nil && of.Name == "http" {
		return slices.Contains([]string{"Get", "Head", "Post", "PostForm", "Client", "Transport", "DefaultClient", "DefaultTransport"}, name)
	}
	return name == "DialContext" || name == "LookupAddr" || name == "LookupNetIP" || name == "LookupIPAddr" || name == "LookupHost"
}
