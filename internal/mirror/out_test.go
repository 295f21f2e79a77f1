package mirror

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

// traps are a mirror, an upstream proxy and a DNS server that are not to be used.
type traps struct {
	mirror, proxy *httptest.Server
	dns           net.PacketConn
	caught        atomic.Int64
}

func newTraps(t *testing.T) *traps {
	t.Helper()
	tr := new(traps)
	server := func() *httptest.Server {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				tr.caught.Add(1)
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	tr.mirror, tr.proxy = server(), server()
	var err error
	if tr.dns, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 512); ; {
			n, from, err := tr.dns.ReadFrom(b)
			if err != nil {
				return
			}
			tr.caught.Add(1)
			if n > 3 { // the question as an answer: no such name
				b[2], b[3] = b[2]|0x80, b[3]&0xf0|3
				_, _ = tr.dns.WriteTo(b[:n], from)
			}
		}
	}()
	t.Cleanup(func() { tr.dns.Close(); <-done })
	return tr
}

// Offline, no method of a Client sends anything, by whatever way it would go.
func TestOfflineSendsNothing(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"directly", "through a proxy"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			tr := newTraps(t)
			addr := tr.mirror.Listener.Addr().String()
			policy := mustPolicy(t, "127.0.0.1", "deb.example.org", "a.example.org")
			if way != "directly" {
				up, err := ParseUpstream(tr.proxy.URL)
				if err != nil {
					t.Fatal(err)
				}
				policy.Through(up)
			}
			mirrors, err := ParseMirrors([]string{"http://deb.example.org/debian=http://" + addr + "/debian|https://a.example.org/debian"})
			if err != nil {
				t.Fatal(err)
			}
			policy.Allow(mirrors)
			resolver, err := ParseResolver([]string{tr.dns.LocalAddr().String()})
			if err != nil {
				t.Fatal(err)
			}
			c := New(Options{Policy: policy, Offline: true, Mirrors: mirrors, Resolver: resolver})
			useAll(t, c, addr)
			if n := tr.caught.Load(); n != 0 {
				t.Errorf("%d connections and lookups although the client is offline", n)
			}
			// The traps work.
			c = New(Options{Policy: policy, Mirrors: mirrors, Resolver: resolver})
			defer c.Close()
			if resp, err := c.Get(t.Context(), Request{URL: "http://" + addr + "/x"}); err == nil {
				resp.Body.Close()
			}
			if tr.caught.Swap(0) == 0 {
				t.Error("a request of a client that is not offline was not caught")
			}
			if _, err := c.lookUp(t.Context(), "a.example.org"); err == nil || tr.caught.Load() == 0 {
				t.Errorf("a lookup of a client that is not offline was not caught: %v", err)
			}
		})
	}
}

// useAll calls each method of c, which is offline, with a mirror by its address and by name.
func useAll(t *testing.T, c *Client, addr string) {
	t.Helper()
	ctx := t.Context()
	wants := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrOffline) {
			t.Errorf("%s: %v, want ErrOffline", what, err)
		}
	}
	uses := map[string]func(){
		"Get": func() {
			for _, url := range []string{"http://" + addr + "/x", "http://a.example.org/x", "https://a.example.org/x", "http://deb.example.org/debian/x"} {
				for _, r := range []Request{{URL: url}, {URL: url, Revalidate: true}, {URL: url, Reload: true, Small: true}, {URL: url, Failover: true}, {URL: url, Login: "Basic x"}} {
					resp, err := c.Get(ctx, r)
					if err == nil {
						resp.Body.Close()
					}
					wants("Get "+url, err)
				}
			}
		},
		"Dial": func() {
			for _, at := range []string{addr, "a.example.org:443"} {
				conn, err := c.Dial(ctx, at)
				if err == nil {
					conn.Close()
				}
				wants("Dial "+at, err)
			}
		},
		"CheckLookup":  func() { _ = c.CheckLookup(ctx, "a.example.org") },
		"Takes":        func() { _ = c.Takes(ctx, "http://unknown.example.org/debian") },
		"Mirrors":      func() { c.Mirrors(Request{URL: "http://deb.example.org/debian/x"}, 1, "") },
		"URLAt":        func() { c.URLAt("http://deb.example.org/debian/x", "http://"+addr+"/debian") },
		"Blame":        func() { c.Blame("http://deb.example.org/debian/x", "http://"+addr+"/debian", ErrSlow) },
		"Health":       func() { c.Health() },
		"Away":         func() { c.Away() },
		"AwayUpstream": func() { c.AwayUpstream() },
		"LoginFor":     func() { c.LoginFor("http://deb.example.org/debian/x") },
		"Limited":      func() { c.Limited() },
		"Close":        func() { c.Close() },
	}
	of := reflect.TypeFor[*Client]()
	for i := range of.NumMethod() {
		if uses[of.Method(i).Name] == nil {
			t.Errorf("the test does not use %s", of.Method(i).Name)
		}
	}
	for _, use := range uses {
		use()
	}
	wants("dialProxy", func() error {
		conn, err := c.dialProxy(ctx)
		if err == nil {
			conn.Close()
		}
		return err
	}())
	_, err := c.lookUp(context.WithoutCancel(ctx), "a.example.org")
	wants("lookUp", err)
}

// What opens a connection or asks a DNS server is in out.go, and what looks at the setting
// is in mayLeave.
func TestOneWayOut(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	leaves, looks := 0, 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			ast.Inspect(decl, func(n ast.Node) bool {
				s, isSelector := n.(*ast.SelectorExpr)
				switch {
				case !isSelector:
				case isWayOut(s):
					leaves++
					if name != "out.go" {
						t.Errorf("%v: %s is a way out; it belongs in out.go", files.Position(s.Pos()), s.Sel.Name)
					}
				case s.Sel.Name == "offline":
					looks++
					if !ok || fn.Name.Name != "mayLeave" {
						t.Errorf("%v: looks at MILLPOND_OFFLINE; ask mayLeave", files.Position(s.Pos()))
					}
				}
				return true
			})
		}
	}
	if leaves != 3 || looks != 1 {
		t.Errorf("%d ways out and %d looks at the setting; three and one are known", leaves, looks)
	}
}

// isWayOut reports whether s is a function of net or net/http that sends something, or a
// method of their dialers and resolvers.
func isWayOut(s *ast.SelectorExpr) bool {
	of, _ := s.X.(*ast.Ident)
	switch name := s.Sel.Name; {
	case strings.HasPrefix(name, "Lookup"), name == "ListenPacket", name == "ListenUDP":
		return true
	case of != nil && of.Name == "net" && strings.HasPrefix(name, "Dial") && name != "Dialer":
		return true
	case of != nil && of.Name == "http" && (name == "Get" || name == "Head" || name == "Post" || name == "DefaultClient" || name == "DefaultTransport"):
		return true
	}
	return s.Sel.Name == "DialContext" && (of == nil || of.Name != "http")
}
