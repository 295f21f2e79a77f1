package swarm

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// copied makes n boxes with one identity key, which do not run yet.
func copied(t *testing.T, n int, change func(*settings)) (boxes []*box) {
	t.Helper()
	original := filepath.Join(t.TempDir(), "identity")
	if err := makeIdentity(original); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		file := filepath.Join(t.TempDir(), "identity")
		if err := os.WriteFile(file, key, 0o600); err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, newBox(t, func(o *settings) {
			o.IdentityFile = file
			if change != nil {
				change(o)
			}
		}))
	}
	return boxes
}

func (b *box) hasTwin() bool {
	_, ok := b.Twin()
	return ok
}

const twinLine = "another box has the identity key of this one"

// meets has b look who answers at an address.
func (b *box) meets(t *testing.T, addrs ...string) error {
	t.Helper()
	var all []ma.Multiaddr
	for _, text := range addrs {
		addr, err := ma.NewMultiaddr(text)
		if err != nil {
			t.Fatal(err)
		}
		addr, _ = ma.SplitFunc(addr, func(c ma.Component) bool { return c.Protocol().Code == ma.P_P2P })
		all = append(all, addr)
	}
	return b.twins.meet(t.Context(), all)
}

// Two boxes that know nothing but a third one, which has no part in it.
func TestTwinsOfOneNeighbour(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"open": nil, "with a key": NewKey()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			middle := newBox(t, func(o *settings) { o.Key = key }).run(t)
			var asked atomic.Int64
			until(t, "the third box answers", func() bool { return slices.Contains(middle.host.Mux().Protocols(), twinsProtocol) })
			middle.host.SetStreamHandler(twinsProtocol, func(st network.Stream) {
				middle.twins.introduce(t.Context(), st)
				asked.Add(1)
			})
			same := copied(t, 2, func(o *settings) { o.Key, o.Bootstrap = key, []string{middle.dialled()} })
			same[0].run(t)
			until(t, "the first one has asked in vain", func() bool { return asked.Load() == 1 })
			same[1].run(t)
			for _, b := range same {
				until(t, "both know of each other", b.hasTwin)
			}
			before := asked.Load()
			other := newBox(t, func(o *settings) { o.Key, o.Bootstrap = key, []string{middle.dialled()} }).run(t)
			until(t, "a box of its own key has asked, too", func() bool { return other.knows(middle) && asked.Load() > before })
			for _, b := range []*box{middle, other} {
				if twin, ok := b.Twin(); ok {
					t.Errorf("a box of its own key has a twin: %v", twin)
				}
			}
			for _, b := range same {
				if n := b.log.count(twinLine); n != 1 {
					t.Errorf("it is logged %d times", n)
				}
			}
		})
	}
}

// Two boxes that hear of each other on the network segment.
func TestTwinsThatMeet(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"open": nil, "with a key": NewKey()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same := copied(t, 2, func(o *settings) { o.Key = key })
			for _, b := range same {
				b.run(t)
			}
			for i, b := range same {
				until(t, "the other one is met", func() bool {
					err := b.meets(t, same[1-i].dialled())
					return err == nil && b.hasTwin()
				})
				if twin, _ := b.Twin(); time.Since(twin.Seen) > time.Minute || twin.Where == "" {
					t.Errorf("the twin is %v", twin)
				}
				if len(b.host.Network().Peers()) != 0 {
					t.Errorf("it left connections with %v", b.host.Network().Peers())
				}
			}
		})
	}
}

// forward is another address of a box, as a port mapping or a NAT gives it one.
func forward(t *testing.T, to *box) string {
	t.Helper()
	addr, err := ma.NewMultiaddr(to.dialled())
	if err != nil {
		t.Fatal(err)
	}
	_, target, err := manet.DialArgs(addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			for _, c := range [][2]net.Conn{{near, far}, {far, near}} {
				running.Go(func() {
					_, _ = io.Copy(c[0], c[1]) // ends with either of them
					c[0].Close()
					c[1].Close()
				})
			}
		}
	})
	here, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return here.String()
}

// A box that finds itself behind another address has no twin.
func TestMeetingOneself(t *testing.T) {
	t.Parallel()
	b := newBox(t, nil).run(t)
	elsewhere := forward(t, b)
	for _, addr := range []string{b.dialled(), elsewhere} {
		until(t, "the box has met itself", func() bool { return b.meets(t, addr) == nil })
	}
	if twin, ok := b.Twin(); ok {
		t.Errorf("it has a twin: %v", twin)
	}

	same := copied(t, 2, nil)
	for _, b := range same {
		b.run(t)
	}
	if err := same[0].meets(t, forward(t, same[1])); err != nil || !same[0].hasTwin() {
		t.Errorf("behind such an address a twin is not found, %v", err)
	}
}

// A neighbour that has not the key cannot make a box believe in a twin: neither with
// signatures of its own, nor with what the box itself signs, now or earlier.
func TestForgedTwins(t *testing.T) {
	t.Parallel()
	liar := newBox(t, nil).run(t)
	b := newBox(t, nil)
	answered := make(chan struct{}, 8)
	var mu sync.Mutex // guards replay
	var replay []byte // what b signed for the request before
	liar.host.SetStreamHandler(twinsProtocol, func(st network.Stream) {
		defer st.Close()
		n, err := readNonce(st)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), twinTimeout)
		defer cancel()
		other := instance{1}
		forged, err := liar.twins.key.Sign(signed(n, other))
		if err != nil {
			t.Error(err)
			return
		}
		answer := append(other[:], forged...)
		asked, err := liar.host.NewStream(ctx, b.self(), instanceProtocol)
		if err != nil {
			return
		}
		all, err := proofs(ctx, asked, n)
		if err != nil || len(all) != 1 {
			t.Errorf("the box proves its identity with %v, %v", all, err)
			return
		}
		changed := all[0]
		changed[0]++ // another instance
		mu.Lock()
		defer mu.Unlock()
		answer = append(append(append(answer, all[0][:]...), changed[:]...), replay...)
		replay = all[0][:]
		if _, err := st.Write(answer); err != nil {
			t.Error(err)
		}
		answered <- struct{}{}
	})
	b.run(t)
	if err := b.host.Connect(t.Context(), liar.host.Peerstore().PeerInfo(liar.self())); err != nil {
		t.Fatal(err)
	}
	until(t, "the liar is a neighbour", func() bool { return b.boxes.count() == 1 })
	for range 2 {
		if err := b.twins.ask(t.Context(), liar.self()); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		<-answered
	}
	if twin, ok := b.Twin(); ok {
		t.Errorf("the box believes in %v", twin)
	}
}

// Whoever asks for proofs makes a box remember no more than its connected boxes and a few
// that wait.
func TestAskingForProofsIsBounded(t *testing.T) {
	t.Parallel()
	b := newBox(t, nil).run(t)
	asker := newBox(t, nil)
	t.Cleanup(func() { asker.Close() })
	if err := asker.host.Connect(t.Context(), b.host.Peerstore().PeerInfo(b.self())); err != nil {
		t.Fatal(err)
	}
	until(t, "the box answers", func() bool {
		known, err := asker.host.Peerstore().SupportsProtocols(b.self(), instanceProtocol)
		return err == nil && len(known) == 1
	})
	for i := range 4 * maxChallenge {
		ctx, cancel := context.WithTimeout(t.Context(), twinTimeout)
		st, err := asker.host.NewStream(ctx, b.self(), instanceProtocol)
		if err != nil {
			t.Fatal(err)
		}
		all, err := proofs(ctx, st, nonce{byte(i)})
		cancel()
		if err != nil || len(all) != 1 {
			t.Fatalf("%d proofs, %v", len(all), err)
		}
	}

	idle := newBox(t, nil) // nobody reads what waits
	t.Cleanup(func() { idle.Close() })
	for i := range 4 * maxChallenge {
		idle.twins.askBack(p2p.ID(numbered(i)))
		idle.twins.again[p2p.ID(numbered(i))] = true
		idle.twins.asked[p2p.ID(numbered(i))] = time.Now()
	}
	if n := len(idle.twins.challenged); n != maxChallenge {
		t.Errorf("%d wait, want %d", n, maxChallenge)
	}
	idle.twins.askAll(t.Context())
	if n, m := len(idle.twins.again), len(idle.twins.asked); n != 0 || m != 0 {
		t.Errorf("%d and %d boxes are remembered that are not connected", n, m)
	}
}
