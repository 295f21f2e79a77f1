package swarm

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		memory int64
		files  int
		want   bounds
	}{
		{"no limit at all", math.MaxInt64, 1 << 20, bounds{conns: 512, pending: 128, neighbours: 256, streams: 1280, windows: 512 << 20, files: 1 << 20, inventory: (128 << 20) / 12, records: 2 << 20}},
		{"a machine", 24 << 30, 1 << 20, bounds{conns: 512, pending: 128, neighbours: 256, streams: 1280, windows: 512 << 20, files: 1 << 20, inventory: (128 << 20) / 12, records: 2 << 20}},
		{"a container", 512 << 20, 4096, bounds{conns: 512, pending: 128, neighbours: 256, streams: 320, windows: 128 << 20, files: 4096, inventory: (32 << 20) / 12, records: 1 << 20}},
		{"a small one", 128 << 20, 4096, bounds{conns: 128, pending: 32, neighbours: 64, streams: 80, windows: 32 << 20, files: 4096, inventory: (8 << 20) / 12, records: 256 << 10}},
		{"few descriptors", 1 << 30, 96, bounds{conns: 32, pending: 8, neighbours: 16, streams: 640, windows: 256 << 20, files: 96, inventory: (64 << 20) / 12, records: 2 << 20}},
		{"a board", 1, 1, bounds{conns: 1, pending: 1, neighbours: 1, streams: 80, windows: 32 << 20, files: 1}},
	} {
		if got := boundsOf(c.memory, c.files); got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
	if got, want := boundsOf(0, 4096), boundsOf(defaultMemory, 4096); got != want {
		t.Errorf("memory unknown: got %+v, want %+v", got, want)
	}
	if got := boundsOf(0, 0).files; got != defaultFiles {
		t.Errorf("descriptors unknown: got %d, want %d", got, defaultFiles)
	}
}

// newTestAdmission has room for 512 connections, 128 handshakes and 640 streams.
func newTestAdmission(t *testing.T, private bool) *admission {
	t.Helper()
	a, err := newAdmission(boundsOf(1<<30, 4096), private)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// connect opens n connections from addresses of the form, whose %d is their number,
// and returns those that were admitted; known ends their handshakes.
func connect(t *testing.T, a *admission, form string, n int, known bool) (admitted []network.ConnManagementScope) {
	t.Helper()
	for i := range n {
		text := form
		if ma, err := ma.NewMultiaddr(text); ma == nil || err != nil {
			text = fmt.Sprintf(form, i)
		}
		c, err := a.OpenConnection(network.DirInbound, true, ma.StringCast(text))
		if err != nil {
			continue
		}
		if known {
			if err := c.SetPeer(p2p.ID(form + strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		admitted = append(admitted, c)
	}
	return admitted
}

func TestConnectionsOfOneParty(t *testing.T) {
	t.Parallel()
	const all, most = 512, 512 * 3 / 4
	for _, c := range []struct {
		name, form string
		private    bool
		want       int
	}{
		{"a stranger's address", "/ip4/198.51.100.7/tcp/4001", false, connsPerAddress},
		{"a stranger's network", "/ip4/198.51.100.%d/tcp/4001", false, connsPerNetwork},
		{"a stranger's IPv6 address", "/ip6/2001:db8::7/tcp/4001", false, connsPerAddress},
		{"a stranger's IPv6 network", "/ip6/2001:db8:0:%d::7/tcp/4001", false, connsPerNetwork},
		{"an address of a site", "/ip4/10.1.2.3/tcp/4001", false, most},
		{"an IPv6 address of a site", "/ip6/fd00::7/tcp/4001", false, most},
		{"this machine", "/ip4/127.0.0.1/tcp/4001", false, most},
		{"members behind one address", "/ip4/198.51.100.7/tcp/4001", true, all},
		{"members at a site", "/ip4/10.1.2.3/tcp/4001", true, all},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newTestAdmission(t, c.private)
			n := min(2*all, 2*c.want)
			if c.form[len(c.form)-1] != '1' || c.want == connsPerNetwork {
				n = min(n, 256) // as many as the last byte of an address has
			}
			admitted := connect(t, a, c.form, n, true)
			if c.name == "members behind one address" {
				// They come as fast as an address may connect.
				if len(admitted) < burstPerAddress {
					t.Fatalf("%d of %d members got in", len(admitted), n)
				}
			} else if len(admitted) != c.want {
				t.Errorf("%d of %d got in, want %d", len(admitted), n, c.want)
			}
			if !c.private && len(connect(t, a, "/ip4/203.0.113.9/tcp/4001", 1, true)) != 1 {
				t.Error("another network does not get in")
			}
			for _, s := range admitted {
				s.Done()
				s.Done() // again does no harm
			}
			if a.pending.Free() != 128 || a.conns != nil && a.conns.Free() < all-1 {
				t.Errorf("%d handshakes are free after all have ended", a.pending.Free())
			}
		})
	}
}

// TestPendingHandshakes has one address begin handshakes that it does not end, in a
// swarm with a key too: a key says nothing before the handshake.
func TestPendingHandshakes(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{false, true} {
		a := newTestAdmission(t, private)
		stuck := connect(t, a, "/ip4/10.1.2.3/tcp/4001", 500, false)
		if len(stuck) != 96 { // of 128
			t.Errorf("private %t: %d handshakes with one address, want 96", private, len(stuck))
		}
		if got := len(connect(t, a, "/ip4/10.1.2.4/tcp/4001", 400, true)); got < 100 {
			t.Errorf("private %t: %d boxes of another address got in meanwhile", private, got)
		}
		stuck[0].Done()
		if len(connect(t, a, "/ip4/10.1.2.3/tcp/4001", 500, false)) == 0 {
			t.Errorf("private %t: none after one ended", private)
		}
	}
}

// TestStreamsOfOneParty has 25 peers open, in turn, all the streams that they can get.
func TestStreamsOfOneParty(t *testing.T) {
	t.Parallel()
	a := newTestAdmission(t, false)
	flood := func(id p2p.ID, n int) (opened []network.StreamManagementScope) {
		for range n {
			if s, err := a.OpenStream(id, network.DirInbound); err == nil {
				opened = append(opened, s)
			}
		}
		return opened
	}
	if got := len(flood("first", 1000)); got != streamsPerPeer {
		t.Errorf("one peer got %d streams, want %d", got, streamsPerPeer)
	}
	var last []network.StreamManagementScope
	for range streamsPerPeer {
		for i := range 24 {
			last = append(last, flood(p2p.ID(strconv.Itoa(i)), 1)...)
		}
	}
	if got := len(flood("another", 1000)); got < 5 {
		t.Errorf("another peer got %d streams, want at least the 5 that a box needs", got)
	}
	for _, s := range last {
		s.Done()
	}
	if got := len(flood("23", 1000)); got != streamsPerPeer {
		t.Errorf("%d streams after all had ended, want %d", got, streamsPerPeer)
	}
}
