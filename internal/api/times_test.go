package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// known are the times of answers that are never unknown, by type and field, and why.
var known = map[string]string{
	"Event.First": "of a line of the log", "Event.Time": "of a line of the log", "EventClient.Time": "of a line of the log",
	"Tick.Time": "now", "Failures.Since": "an hour ago, or the start", "Summary.Since": "the ledger's first row has it", "Point.Start": "a bucket's",
	"Account.First": "of a request", "Account.Last": "of a request", "PackageClient.Last": "of a request",
	"ClientSuite.Updated": "of a request", "ClientFailure.First": "of a request", "ClientFailure.Last": "of a request", "ClientPackage.Last": "of a request",
	"Series.From": "a bucket's", "Series.To": "a bucket's", "TrendFigures.From": "of a span", "TrendFigures.To": "of a span",
	"MirrorDay.Start": "a day's", "TunnelDay.Start": "a day's", "Tunnel.First": "of a tunnel", "Tunnel.Last": "of a tunnel", "TunnelClient.Last": "of a tunnel",
	"SiteSum.Since": "this box's ledger has it", "SiteBox.Seen": "when a report came", "SiteBox.Since": "its report has it",
	"Suite.Learned": "when it was read", "FollowedSuite.Next": "planned", "Rejected.First": "when it was read", "Rejected.Last": "when it was read",
	"Holding.Newest": "of a file on disk", "Holding.Oldest": "of a file on disk", "Blob.Modified": "of a file on disk", "Blob.Used": "from its commit on",
	"Transfer.Started": "it runs", "Prefetch.Since": "the account's first row has it", "PrefetchWave.Started": "it began",
	"RingGeneration.Date": "one without a date is not kept", "RingSuite.Since": "when the ring got it", "Generation.Learned": "when it was read",
	"Peer.Since": "it is connected", "Graph.Asked": "an answer's",
}

// A time that may be unknown is null or left out: each is a pointer, has omitzero, or is
// known by its nature.
func TestTimes(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				what, ok := f.Type.(*ast.SelectorExpr)
				if !ok || what.Sel.Name != "Time" || f.Tag == nil {
					continue
				}
				tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
				name := spec.Name.Name + "." + f.Names[0].Name
				found[name] = true
				if omits := strings.HasSuffix(tag, ",omitzero"); omits == (known[name] != "") {
					t.Errorf("%s: omitzero %v, known %q", name, omits, known[name])
				}
			}
			return true
		})
	}
	for name := range known {
		if !found[name] {
			t.Errorf("there is no time %s", name)
		}
	}
	if len(found) < len(known) {
		t.Errorf("%d times found", len(found))
	}
}
