package mirror

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTakes(t *testing.T) {
	t.Parallel()
	policy, err := ParsePolicy([]string{"10.9.0.0/16", "repo.corp.example", "printer.local"})
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{policy: policy}
	for _, tt := range []struct{ uri, why string }{
		{"http://192.0.2.7/debian/dists/stable/InRelease", ""},
		{"http://10.9.1.2/debian/", ""},
		{"http://10.8.1.2/debian/", "10.8.1.2 is a private address"},
		{"http://10.9.1.2:8080/debian/", ""},
		{"http://[fd00::1]/debian/", "is a unique local address"},
		{"http://127.0.0.1/debian/", "127.0.0.1"},
		{"http://192.0.2.7:8080/debian/", "port 8080 is neither"},
		{"http://repo.corp.example:8080/debian/", ""}, // never looked up
		{"http://localhost/debian/", "is a name of each machine"},
		{"http://nas.LOCAL/debian/", "is a name of each machine"},
		{"http://printer.local/debian/", "is a name of each machine"},
		{"ftp://192.0.2.7/debian/", "ftp"},
		{"http://192.0.2.7:0/debian/", "port"},
		{"http://%zz/", "not a URL"},
		{"", ""},
	} {
		err := c.Takes(t.Context(), tt.uri)
		switch {
		case tt.uri == "":
			if err == nil {
				t.Error("no URL is taken")
			}
		case tt.why == "" && err != nil:
			t.Errorf("%s: %v, want it taken", tt.uri, err)
		case tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)):
			t.Errorf("%s: %v, want %q", tt.uri, err, tt.why)
		}
	}
}

// Where DNS leads an archive's name to the box, the box's own DNS servers decide whether it
// takes the name.
func TestTakesByTheBoxsResolver(t *testing.T) {
	t.Parallel()
	real := &nameServer{answers: [][]netip.Addr{addrs("192.0.2.7")}}
	r, err := ParseResolver([]string{real.listen(t).String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		resolver Resolver
		taken    bool
	}{{Resolver{}, false}, {r, true}} {
		c := New(Options{Resolver: tt.resolver})
		c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("10.1.0.5")}}).resolver() // the machine's
		if err := c.Takes(t.Context(), "http://archive.example.org/debian/"); (err == nil) != tt.taken {
			t.Errorf("by %q: %v", tt.resolver, err)
		}
		c.Close()
	}
}
