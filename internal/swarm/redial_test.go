package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// TestRedial has two boxes reconnect although no bootstrap entry or third box
// leads from one to the other.
func TestRedial(t *testing.T) {
	long(t)
	t.Parallel()
	dir := t.TempDir()
	a := newBox(t, nil).run(t)
	b, err := openBox(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	listen, _, _ := strings.Cut(b.dialled(), "/p2p/")
	b.run(t)
	if err := a.host.Connect(t.Context(), p2p.AddrInfo{ID: b.self(), Addrs: b.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	since := func() time.Time { return a.boxes.connectedSince(b.self()) }
	until(t, "connected", func() bool { return !since().IsZero() })
	first := since()
	if err := a.host.Network().ClosePeer(b.self()); err != nil {
		t.Fatal(err)
	}
	until(t, "connected again", func() bool { return since().After(first) })

	b.stop()
	until(t, "alone", func() bool { return since().IsZero() })
	again, err := openBox(dir, func(o *settings) { o.Listen = []string{listen} })
	if err != nil {
		t.Fatal(err)
	}
	again.run(t)
	until(t, "connected with the box that was started again", func() bool { return !since().IsZero() })
}

// TestRedialWaits looks at the times of the dials.
func TestRedialWaits(t *testing.T) {
	t.Parallel()
	info := p2p.AddrInfo{ID: "box"}
	for _, tt := range []struct {
		name        string
		err         error
		connected   time.Duration // after the loss; 0: never
		least, most int           // dials
		last        time.Duration // no dial is later
	}{
		{"away", errors.New("no route to host"), 0, 40, 90, lostFor},
		{"connected", errors.New("no route to host"), 10 * time.Second, 2, 6, 10 * time.Second},
		{"banned", fmt.Errorf("dialling: %w", swarm.ErrGaterDisallowedConnection), 0, 1, 1, 2 * firstRedial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var at []time.Duration
				r := newRedials(func(context.Context, p2p.AddrInfo, []ma.Multiaddr) error {
					at = append(at, time.Since(begun))
					return tt.err
				}, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error)
				go func() { ran <- r.run(ctx) }()
				r.disconnected(info, nil, time.Hour)
				if tt.connected > 0 {
					time.Sleep(tt.connected)
					r.connected(info.ID)
				}
				time.Sleep(2 * lostFor)
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				if len(at) < tt.least || len(at) > tt.most || at[0] > 3*firstRedial/2 {
					t.Fatalf("%d dials, want %d to %d: %v", len(at), tt.least, tt.most, at)
				}
				if at[len(at)-1] > tt.last {
					t.Errorf("the last dial was after %v", at[len(at)-1])
				}
				for i := 1; i < len(at); i++ {
					if gap := at[i] - at[i-1]; gap < firstRedial || gap > 3*lastRedial/2 {
						t.Errorf("%v between dials", gap)
					}
				}
				if len(r.lost) != 0 {
					t.Errorf("%d boxes are still looked for", len(r.lost))
				}
			})
		})
	}
}

// TestRedialsAreBounded has many identities at one address come and go.
func TestRedialsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dialled := make(map[p2p.ID]bool)
		var mu sync.Mutex // guards dialled
		r := newRedials(func(_ context.Context, info p2p.AddrInfo, _ []ma.Multiaddr) error {
			mu.Lock()
			defer mu.Unlock()
			dialled[info.ID] = true
			return errors.New("no route to host")
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- r.run(ctx) }()
		at := func(addr string) []ma.Multiaddr { return []ma.Multiaddr{ma.StringCast(addr)} }
		for i := range 10 * maxLost {
			r.disconnected(p2p.AddrInfo{ID: p2p.ID(fmt.Sprint("crowd ", i)), Addrs: at("/ip4/10.0.0.1/tcp/4001")}, nil, time.Hour)
		}
		if n := len(r.lost); n != maxLost*3/4 {
			t.Errorf("%d boxes of one address are redialled, want %d", n, maxLost*3/4)
		}
		r.disconnected(p2p.AddrInfo{ID: "box", Addrs: at("/ip4/10.0.0.2/tcp/4001")}, nil, time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		if !dialled["box"] || len(dialled) > maxLost {
			t.Errorf("%d boxes were dialled, the one of another address among them: %t", len(dialled), dialled["box"])
		}
		mu.Unlock()
		time.Sleep(2 * lostFor)
		synctest.Wait()
		if len(r.lost) != 0 || r.slots.Free() != maxLost {
			t.Errorf("%d boxes are still looked for, %d slots are free", len(r.lost), r.slots.Free())
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// TestRedialOfHangingUp has a box accept each connection and end it soon, as one does
// that has no room; at last it keeps one for long.
func TestRedialOfHangingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		info := p2p.AddrInfo{ID: "box"}
		dialled := make(chan time.Time, 1)
		r := newRedials(func(context.Context, p2p.AddrInfo, []ma.Multiaddr) error {
			dialled <- time.Now()
			return nil
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- r.run(ctx) }()
		// lasts is how long the box is away after a connection that lasted so long.
		lasts := func(lasted time.Duration) time.Duration {
			gone := time.Now()
			r.disconnected(info, nil, lasted)
			at := <-dialled
			r.connected(info.ID)
			synctest.Wait()
			return at.Sub(gone)
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			if got := lasts(time.Second); got < want/2 || got > want*3/2 {
				t.Errorf("wait %d: %v, want about %v", i, got, want)
			}
		}
		if got := lasts(steadyFor); got > 3*firstRedial/2 {
			t.Errorf("%v after a connection that lasted", got)
		}
		r.dismissed(info.ID)
		if len(r.lost)+len(r.waits) != 0 {
			t.Errorf("%d boxes and %d waits are kept", len(r.lost), len(r.waits))
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}
