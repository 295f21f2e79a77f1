package swarm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"millpond/internal/peer"
)

// simulation is a network of packets in memory, and the boxes on it. In a synctest
// bubble its latency passes in virtual time.
type simulation struct {
	t      *testing.T
	net    simnet.Simnet
	ctx    context.Context
	cancel context.CancelFunc
	ran    chan error
	boxes  []*box
}

// simulate calls f in a bubble, with a network on which a packet takes latency.
func simulate(t *testing.T, latency time.Duration, f func(*simulation)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, net: simnet.Simnet{LatencyFunc: simnet.StaticLatency(latency)}, ran: make(chan error)}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		s.net.Start()
		defer s.net.Close()
		defer s.stop()
		f(s)
	})
}

// transports make a libp2p host one of the network. AutoNAT has sockets of its own, and
// with the discovery of observed addresses the bubble never comes to rest.
func (s *simulation) transports() []libp2p.Option {
	link := simnet.LinkSettings{BitsPerSecond: 1e9}
	return []libp2p.Option{
		simlibp2p.QUICSimnet(&s.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
		libp2p.DisableIdentifyAddressDiscovery(),
	}
}

func withoutAutoNAT(c *libp2p.Config) error {
	c.EnableAutoNATv2, c.AutoNATConfig.EnableService = false, false
	return nil
}

// box runs a box at a public address.
func (s *simulation) box(addr string, change func(*settings)) *box {
	s.t.Helper()
	log := &lines{}
	b := newBox(s.t, func(o *settings) {
		o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Listen = []string{"/ip4/" + addr + "/udp/4001/quic-v1"}
		o.Network = Network{Transports: append(s.transports(), libp2p.Transport(quic.NewTransport)), Host: []libp2p.Option{withoutAutoNAT}}
		if change != nil {
			change(o)
		}
	})
	b.log = log
	s.boxes = append(s.boxes, b)
	go func() { s.ran <- b.serve(s.ctx) }()
	return b
}

// until waits in virtual time.
func (s *simulation) until(what string, within time.Duration, ok func() bool) {
	s.t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > within {
			s.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *simulation) stop() {
	// kad-dht's provider holds a lock while its first look-ups are under way, and Close
	// would wait for the lock, which stops the bubble's clock.
	time.Sleep(time.Minute)
	s.cancel()
	for range s.boxes {
		if err := <-s.ran; err != nil {
			s.t.Error(err)
		}
	}
	for _, b := range s.boxes {
		if err := b.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// TestSimulated has boxes with one bootstrap entry find each other by the DHT, tell each
// other what they hold, and send a file.
func TestSimulated(t *testing.T) {
	const boxes = 10
	const latency = 20 * time.Millisecond
	simulate(t, latency, func(s *simulation) {
		blob := bytes.Repeat([]byte("file"), 1<<18)
		d := s.box("1.0.0.1", nil).shelf.put(blob)
		first := s.boxes[0].dialled()
		for i := 1; i < boxes; i++ {
			s.box(fmt.Sprintf("1.0.%d.1", i), func(o *settings) { o.Bootstrap = []string{first} })
		}
		s.until("all know each other", 30*time.Second, func() bool {
			for _, b := range s.boxes {
				if b.Status().Neighbours != boxes-1 {
					return false
				}
			}
			return true
		})
		last := s.boxes[boxes-1]
		s.until("the inventory", 10*time.Second, func() bool { return len(last.Seeds(d)) == 1 })
		begun := time.Now()
		st, err := last.Seeds(d)[0].Open(s.ctx, d, peer.Request{})
		if err != nil {
			s.t.Fatal(err)
		}
		defer st.Close()
		got, err := io.ReadAll(st)
		if err != nil || !bytes.Equal(got, blob) {
			s.t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begun); took < 2*latency || took > time.Second {
			s.t.Errorf("the file took %v, with a round trip of %v", took, 2*latency)
		}
	})
}

// TestRefusedBoxesBackOff has more boxes than places, which know no other box: those
// without a place come back, but not every second.
func TestRefusedBoxesBackOff(t *testing.T) {
	long(t)
	const boxes, places, minutes = 8, 4, 2
	simulate(t, 10*time.Millisecond, func(s *simulation) {
		hub := s.box("1.0.0.1", func(o *settings) { o.Files = 3 * places * neighbourConns })
		if got := hub.places.most; got != places {
			s.t.Fatalf("%d places, want %d", got, places)
		}
		peak := watchNeighbours(s.ctx, hub)
		for i := range boxes {
			s.box(fmt.Sprintf("1.0.%d.1", i+1), func(o *settings) {
				o.Bootstrap, o.Mode = []string{hub.dialled()}, Client
			})
		}
		came := func(b *box) int { return b.log.count("peer connected") }
		time.Sleep(time.Minute) // the waits grow
		before := make(map[*box]int)
		for _, b := range s.boxes {
			before[b] = came(b)
		}
		time.Sleep(minutes * time.Minute)
		most := minutes*int(time.Minute/lastRetry) + 2
		for i, b := range s.boxes[1:] {
			if n := came(b) - before[b]; n > most || came(b) == 0 {
				s.t.Errorf("box %d was connected %d times in %d minutes, want at most %d", i, n, minutes, most)
			}
		}
		if n := peak.Load(); n != places {
			s.t.Errorf("%d neighbours at once, want %d", n, places)
		}
	})
}
