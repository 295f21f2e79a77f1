package mirror

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// A name that leads to the box, and DNS servers that do not answer, are told apart from
// names that are as they should be.
func TestCheckLookup(t *testing.T) {
	t.Parallel()
	own := func(at netip.AddrPort) bool { return at == netip.MustParseAddrPort("192.0.2.5:80") }
	check := func(o Options, r *net.Resolver) error {
		o.Self = own
		c := New(o)
		t.Cleanup(func() { c.Close() })
		c.resolver = r
		return c.CheckLookup(t.Context(), "archive.example.org")
	}
	answers := func(list ...string) *net.Resolver {
		return (&nameServer{answers: [][]netip.Addr{addrs(list...)}}).resolver()
	}
	dead := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is there") }}
	if err := check(Options{}, answers("192.0.2.7", "2001:db8::7")); err != nil {
		t.Error(err)
	}
	var loop *RefusedError
	if err := check(Options{}, answers("192.0.2.7", "192.0.2.5")); !errors.As(err, &loop) || !loop.Loop || !strings.Contains(err.Error(), "MILLPOND_RESOLVER") {
		t.Errorf("a name of the box: %v", err)
	}
	if err := check(Options{}, dead); err == nil || !strings.Contains(err.Error(), "MILLPOND_RESOLVER") || !strings.Contains(err.Error(), "nobody is there") {
		t.Errorf("no DNS server: %v", err)
	}
	if err := check(Options{Offline: true}, dead); err != nil {
		t.Errorf("offline: %v", err)
	}
}
