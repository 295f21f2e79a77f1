package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	"golang.org/x/sync/errgroup"
)

const (
	// While no box is connected all entries are tried again and again.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
	// steadyFor is how long a box must have been connected for the waits to begin anew:
	// one without room for this box hangs up each time.
	steadyFor = time.Minute
	// recheckEvery finds boxes that started later, and reconnects a swarm that was
	// split for longer than lostFor.
	recheckEvery = 3 * time.Minute
	roundTimeout = 20 * time.Second // for one entry
	joinTimeout  = 5 * time.Second  // for one address or box
	joinsAtOnce  = 8
	maxTargets   = 64 // of one entry
)

// target is something to dial.
type target struct {
	id    p2p.ID // "": not known
	addrs []ma.Multiaddr
}

// bootstrap connects to the boxes that the configured entries name, and retries
// for as long as the box runs.
type bootstrap struct {
	log      *slog.Logger
	entries  []entry
	resolver madns.BasicResolver
	client   *http.Client
	host     host.Host
	boxes    *boxes
	gate     *gate
	dial     func(context.Context, p2p.AddrInfo) error // dialGiven

	mu     sync.Mutex        // guards the fields below
	ids    map[string]p2p.ID // which box answered at an address without a peer ID
	failed map[string]bool   // entries that were logged as failing
}

func newBootstrap(entries []string, log *slog.Logger) (*bootstrap, error) {
	b := &bootstrap{
		log:      log,
		resolver: systemResolver,
		client:   &http.Client{Timeout: joinTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		ids:      make(map[string]p2p.ID),
		failed:   make(map[string]bool),
	}
	var faults []error
	for _, text := range entries {
		e, err := b.parse(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		b.entries = append(b.entries, e)
	}
	return b, errors.Join(faults...)
}

func (b *bootstrap) run(ctx context.Context) error {
	if len(b.entries) == 0 {
		return nil
	}
	retry := firstRetry
	var since time.Time // when a box connected; zero: none is connected
	alone := func() (wait time.Duration) {
		steady := !since.IsZero() && time.Since(since) >= steadyFor
		since = time.Time{}
		if steady {
			retry = firstRetry
			return 0
		}
		wait, retry = retry, min(2*retry, lastRetry)
		return wait
	}
	for {
		changed := b.boxes.changed()
		b.round(ctx)
		wait := recheckEvery
		if b.boxes.count() == 0 {
			wait = alone()
		} else if since.IsZero() {
			since = time.Now()
		}
		timer := time.NewTimer(wait)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
				waiting = false
			case <-changed:
				changed = b.boxes.changed()
				switch n := b.boxes.count(); {
				case n > 0 && since.IsZero():
					since = time.Now()
				case n == 0 && !since.IsZero(): // the last one disconnected
					timer.Reset(alone())
				}
			}
		}
		timer.Stop()
	}
}

// round resolves all entries at once and dials the boxes that they name.
func (b *bootstrap) round(ctx context.Context) {
	var group errgroup.Group
	for _, e := range b.entries {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, roundTimeout)
			defer cancel()
			targets, err := e.find(ctx)
			if err == nil {
				err = b.joinAll(ctx, targets)
			}
			b.report(ctx, e.name, err)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}

// report logs an entry when it begins to fail and when it works again.
func (b *bootstrap) report(ctx context.Context, name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if (err != nil) == b.failed[name] || errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	b.failed[name] = err != nil
	if err != nil {
		b.log.Warn("bootstrap source has no reachable peers, retrying", "source", name, "err", err)
	} else {
		b.log.Info("bootstrap source works again", "source", name)
	}
}

// joinAll connects to the targets; it fails if none could be reached.
func (b *bootstrap) joinAll(ctx context.Context, targets []target) error {
	if len(targets) == 0 {
		return errors.New("it leads to no address")
	}
	targets = targets[:min(len(targets), maxTargets)]
	faults := make([]error, len(targets))
	var group errgroup.Group
	group.SetLimit(joinsAtOnce)
	for i, t := range targets {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, joinTimeout)
			defer cancel()
			faults[i] = b.join(ctx, t)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
	for _, err := range faults {
		if err == nil {
			return nil
		}
	}
	return errors.Join(faults...)
}

// join connects to a target unless it is connected or this box itself.
func (b *bootstrap) join(ctx context.Context, t target) error {
	if t.id == "" {
		var err error
		if t.id, err = b.identify(ctx, t.addrs); err != nil {
			return err
		}
	}
	if t.id == b.host.ID() {
		return nil
	}
	return b.dial(ctx, p2p.AddrInfo{ID: t.id, Addrs: b.resolved(ctx, t.addrs)})
}

// resolved returns addrs with addresses in place of names, so that it is known where
// an entry leads. A name that has none is left to libp2p, which says why.
func (b *bootstrap) resolved(ctx context.Context, addrs []ma.Multiaddr) (all []ma.Multiaddr) {
	for _, addr := range addrs {
		found, err := b.names(ctx, addr)
		if err != nil {
			found = []ma.Multiaddr{addr}
		}
		all = append(all, found[:min(len(found), maxTargets)]...)
	}
	return all
}

// dialGiven connects to a box at addresses that MILLPOND_BOOTSTRAP or the network
// segment gave, or at which it was connected before. They need not be public.
func (s *Swarm) dialGiven(ctx context.Context, info p2p.AddrInfo) error {
	return s.dialNow(ctx, info, info.Addrs)
}

// dialNow connects to a box that may have failed a moment ago: libp2p by itself
// would not dial it again for 5 s and more. The addresses in given need not be
// public.
func (s *Swarm) dialNow(ctx context.Context, info p2p.AddrInfo, given []ma.Multiaddr) error {
	if n, ok := s.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(info.ID)
	}
	defer s.gate.give(given)()
	return s.host.Connect(ctx, info)
}

// identify finds out which box answers at addrs: it dials with an unused ID and
// takes the real one from the handshake's error. The ID is cached, and determined
// again while that box is not connected.
func (b *bootstrap) identify(ctx context.Context, addrs []ma.Multiaddr) (p2p.ID, error) {
	place := addrs[0].String() // a target without ID has one
	b.mu.Lock()
	id, known := b.ids[place]
	b.mu.Unlock()
	if !known || id != b.host.ID() && len(b.host.Network().ConnsToPeer(id)) == 0 {
		var err error
		if id, err = b.whoIs(ctx, addrs); err != nil {
			return "", err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ids) >= maxTargets*max(1, len(b.entries)) {
		clear(b.ids)
	}
	b.ids[place] = id
	return id, nil
}

func (b *bootstrap) whoIs(ctx context.Context, addrs []ma.Multiaddr) (p2p.ID, error) {
	_, public, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return "", err
	}
	nobody, err := p2p.IDFromPublicKey(public)
	if err != nil {
		return "", err
	}
	defer func() {
		b.host.Peerstore().ClearAddrs(nobody)
		b.host.Peerstore().RemovePeer(nobody)
	}()
	defer b.gate.probe(nobody)()
	err = b.dial(ctx, p2p.AddrInfo{ID: nobody, Addrs: b.resolved(ctx, addrs)})
	var other sec.ErrPeerIDMismatch
	if errors.As(err, &other) {
		return other.Actual, nil
	}
	return "", err
}
