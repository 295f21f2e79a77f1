package mirror

import (
	"context"
	"fmt"
	"io"
	"sync"

	"millpond/internal/front"
)

// ErrGaveWay ends the body of an answer for a party that has more of a host's
// connections than another one. The mirror is not at fault: the rest can be requested
// again, and waits for its turn.
var ErrGaveWay = fmt.Errorf("the connections to the mirror are needed for other clients: %w", io.ErrUnexpectedEOF)

// turnKey is the key of what to call when a request's turn has come.
type turnKey struct{}

// AtTurn returns ctx for a request that calls begun when it has a connection's place:
// what went before is not the time of the mirror. A request that is led elsewhere, or
// sent again, calls it again.
func AtTurn(ctx context.Context, begun func()) context.Context {
	return context.WithValue(ctx, turnKey{}, begun)
}

// smallKey is the key of Request.Small in a request's context.
type smallKey struct{}

// The places for connections to one host. Small requests take one of the reserve where
// no common one is free, so that slow files keep no update waiting.
var (
	// commonRoom is for apt's own few, for a few suites at once. A host that drips to
	// most of them gets more, up to what an update of a site asks of it together.
	commonRoom = front.Room{Places: 16, Most: 64}
	// reserveRoom is for the Release files and indices of a few clients at once.
	reserveRoom = front.Room{Places: 8, Most: 16}
)

// turns share the connections to each host among those for whom it is asked. The zero
// value is ready to use.
type turns struct {
	mu sync.Mutex
	of map[string]*host // by host:port, while there are requests; guarded by mu
}

type host struct {
	*front.Shares
	requests int // that have a place or wait for one; guarded by turns.mu
}

// enter waits until a request may be sent to a host. The place makes progress with each
// byte of the answer; leave has to be called at its end. When the place is needed for
// another party, cut is called. limited says that the box itself makes its mirrors slow
// when it is the first request to the host: more connections would not help.
func (t *turns) enter(ctx context.Context, hostport string, limited bool, cut func()) (place *front.Place, leave func(), err error) {
	t.mu.Lock()
	h := t.of[hostport]
	if h == nil {
		if t.of == nil {
			t.of = make(map[string]*host)
		}
		common, reserve := commonRoom, reserveRoom
		if limited {
			common.Most, reserve.Most = common.Places, reserve.Places
		}
		h = &host{Shares: front.NewSharesOf(common, reserve)}
		t.of[hostport] = h
	}
	h.requests++
	t.mu.Unlock()
	exit := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if h.requests--; h.requests == 0 {
			delete(t.of, hostport)
		}
	}
	small, _ := ctx.Value(smallKey{}).(bool)
	place, err = h.Wait(ctx, partyOf(ctx), small, func(bool) { cut() })
	if err != nil {
		exit()
		return nil, nil, err
	}
	if begun, ok := ctx.Value(turnKey{}).(func()); ok {
		begun()
	}
	return place, sync.OnceFunc(func() {
		place.Leave()
		exit()
	}), nil
}
