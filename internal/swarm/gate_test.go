package swarm

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// listener counts the connections to a port of this machine that is no box's.
func listener(t *testing.T) (addr string, accepted *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int32)
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "/ip4/127.0.0.1/tcp/" + port, accepted
}

// TestRecordsDoNotLeadInside: a record in the DHT names a service of the taker's own
// machine. It is dialled if a member says so, and not for a stranger.
func TestRecordsDoNotLeadInside(t *testing.T) {
	long(t)
	t.Parallel()
	for name, key := range map[string][]byte{"stranger": nil, "member": NewKey()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service, accepted := listener(t)
			keeper := newBox(t, func(o *settings) { o.Key = key }).run(t)
			liar := newBox(t, func(o *settings) {
				o.Key, o.Mode, o.Bootstrap, o.Announce = key, Client, []string{keeper.dialled()}, []string{service}
			})
			d := liar.shelf.put([]byte("a blob"))
			liar.run(t)
			taker := newBox(t, func(o *settings) {
				o.Key, o.Mode, o.Bootstrap, o.Network.Public = key, Client, []string{keeper.dialled()}, nil
			}).run(t)
			until(t, "the record", func() bool {
				for info := range taker.dht.FindProvidersAsync(t.Context(), cid.NewCidV1(cid.Raw, multihashOf(d)), 0) {
					if info.ID == liar.self() && len(info.Addrs) == 1 && info.Addrs[0].String() == service {
						return true
					}
				}
				return false
			})
			for p := range taker.Find(t.Context(), d) {
				t.Errorf("%s is connected", p)
			}
			if n, want := accepted.Load(), key != nil; n > 0 != want {
				t.Errorf("%d connections to the service, want some: %t", n, want)
			}
		})
	}
}

func TestWhereMayBeDialled(t *testing.T) {
	t.Parallel()
	open := newBox(t, func(o *settings) { o.Network.Public = nil })
	keyed := newBox(t, func(o *settings) { o.Network.Public, o.Key = nil, NewKey() })
	t.Cleanup(func() { open.Close(); keyed.Close() })
	id := newIDs(t, 1)[0]
	for text, want := range map[string]bool{
		"/ip4/203.0.113.9/tcp/4001":                                  true,
		"/ip4/203.0.113.9/udp/4001/quic-v1":                          true,
		"/ip6/2001:db8::1/tcp/4001":                                  true,
		"/ip6/64:ff9b::cb00:7109/tcp/4001":                           true, // 203.0.113.9
		"/p2p/" + id.String() + "/p2p-circuit":                       true, // the relay's own address counts
		"/ip4/127.0.0.1/tcp/4001":                                    false,
		"/ip4/10.1.2.3/tcp/4001":                                     false,
		"/ip4/10.1.2.3/udp/4001/quic-v1":                             false,
		"/ip4/100.64.0.1/tcp/4001":                                   false,
		"/ip4/169.254.169.254/tcp/80":                                false,
		"/ip4/224.0.0.251/udp/5353/quic-v1":                          false,
		"/ip6/::1/tcp/4001":                                          false,
		"/ip6/fd00::1/tcp/4001":                                      false,
		"/ip6/fe80::1/tcp/4001":                                      false,
		"/ip6zone/eth0/ip6/fe80::1/tcp/4001":                         false,
		"/ip6/::ffff:10.1.2.3/tcp/4001":                              false,
		"/ip6/64:ff9b::a9fe:a9fe/tcp/80":                             false, // 169.254.169.254
		"/ip6/64:ff9b:1::7f00:1/tcp/4001":                            false, // 127.0.0.1
		"/ip6/2002:a01:203::1/tcp/4001":                              false, // 10.1.2.3
		"/ip4/10.1.2.3/tcp/4001/p2p/" + id.String() + "/p2p-circuit": false,
	} {
		addr := ma.StringCast(text)
		if got := open.gate.InterceptAddrDial(id, addr); got != want {
			t.Errorf("%s of a stranger: %t, want %t", text, got, want)
		}
		if !keyed.gate.InterceptAddrDial(id, addr) {
			t.Errorf("%s of a member is refused", text)
		}
		done := open.gate.give([]ma.Multiaddr{addr})
		if !open.gate.InterceptAddrDial(id, addr) {
			t.Errorf("%s is refused although it was given", text)
		}
		done()
		if got := open.gate.InterceptAddrDial(id, addr); got != want {
			t.Errorf("%s after the dial: %t, want %t", text, got, want)
		}
	}
	if n := len(open.gate.given); n != 0 {
		t.Errorf("%d addresses are kept", n)
	}
	// Another port of a given address is another address.
	defer open.gate.give([]ma.Multiaddr{ma.StringCast("/ip4/10.1.2.3/tcp/4001")})()
	if open.gate.InterceptAddrDial(id, ma.StringCast("/ip4/10.1.2.3/tcp/22")) {
		t.Error("a port beside the given one is dialled")
	}
}

// TestRedialInside: a box at a private address that was connected is redialled where
// it was, not where it says that it is.
func TestRedialInside(t *testing.T) {
	t.Parallel()
	service, accepted := listener(t)
	other := newBox(t, func(o *settings) { o.Mode, o.Announce = Client, []string{service} })
	listens := other.host.Network().ListenAddresses()
	listens = slices.DeleteFunc(listens, func(a ma.Multiaddr) bool { return addrOf(a) != netip.MustParseAddr("127.0.0.1") })
	b := newBox(t, func(o *settings) { o.Network.Public, o.Mode = nil, Client }).run(t)
	other.run(t)
	if err := b.dialGiven(t.Context(), p2p.AddrInfo{ID: other.self(), Addrs: listens}); err != nil {
		t.Fatal(err)
	}
	since := func() bool { return !b.boxes.connectedSince(other.self()).IsZero() }
	until(t, "connected", since)
	until(t, "identified", func() bool {
		for _, a := range b.host.Peerstore().Addrs(other.self()) {
			if a.String() == service {
				return true
			}
		}
		return false
	})
	first := b.boxes.connectedSince(other.self())
	if err := b.host.Network().ClosePeer(other.self()); err != nil {
		t.Fatal(err)
	}
	until(t, "connected again", func() bool { return since() && b.boxes.connectedSince(other.self()).After(first) })
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections to the service that it names", n)
	}
	if at := b.address(other.self()); !strings.HasPrefix(at, listens[0].String()) {
		t.Errorf("connected at %s", at)
	}
}
