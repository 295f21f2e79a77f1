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
// another party, cut is called.
func (t *turns) enter(ctx context.Context, hostport string, cut func()) (place *front.Place, leave func(), err error) {
	t.mu.Lock()
	h := t.of[hostport]
	if h == nil {
		if t.of == nil {
			t.of = make(map[string]*host)
		}
		h = &host{Shares: front.NewShares(maxConns)}
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
	place, err = h.Wait(ctx, partyOf(ctx), func(bool) { cut() })
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
