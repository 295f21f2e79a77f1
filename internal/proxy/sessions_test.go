package proxy

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

func clientAt(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+uint32(n))))
}

func suiteNamed(n int) catalog.Location {
	return catalog.Location{Scheme: "http", Host: "deb.example.org", Path: fmt.Sprintf("/dists/%d", n)}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		one, two := p.ConnContext(t.Context(), nil), p.ConnContext(t.Context(), nil)
		anew := p.ConnContext(t.Context(), nil)
		a, b := digest.Of([]byte("a")), digest.Of([]byte("b"))
		expect := func(what string, ctx context.Context, addr netip.Addr, suite int, want digest.Digest) {
			t.Helper()
			if got := p.sessions.get(ctx, addr, "", suiteNamed(suite)); got != want {
				t.Errorf("%s: got %s, want %s", what, got.Short(), want.Short())
			}
		}
		expect("nothing yet", one, clientAt(1), 1, digest.Digest{})
		p.sessions.set(one, clientAt(1), "", suiteNamed(1), a)
		time.Sleep(time.Minute)
		p.sessions.set(two, clientAt(1), "", suiteNamed(1), b) // another client behind the same address
		expect("its connection", one, clientAt(1), 1, a)
		expect("the other's connection", two, clientAt(1), 1, b)
		expect("a new connection", anew, clientAt(1), 1, b)
		expect("no connection", t.Context(), clientAt(1), 1, b)
		expect("another suite", one, clientAt(1), 2, digest.Digest{})
		expect("another address", anew, clientAt(2), 1, digest.Digest{})
		time.Sleep(sessionAge - time.Minute + time.Second)
		expect("its connection, an hour later", one, clientAt(1), 1, b)
		time.Sleep(time.Minute)
		expect("the address, an hour later", anew, clientAt(1), 1, digest.Digest{})
	})
}

// An address is forgotten when it is told to, and when what it was given counts no
// more: it stays nowhere until the memory is full.
func TestSessionsForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{})
		for i := range 3 {
			p.sessions.set(t.Context(), clientAt(i), "", suiteNamed(1), digest.Of(nil))
		}
		p.Forget(clientAt(1))
		p.Forget(clientAt(7))
		if len(p.sessions.clients) != 2 || p.sessions.order.Len() != 2 || p.sessions.clients[clientAt(1)] != nil {
			t.Errorf("remembered: %v", p.sessions.clients)
		}
		time.Sleep(sessionAge + time.Second)
		p.sessions.set(t.Context(), clientAt(3), "", suiteNamed(1), digest.Of(nil))
		if len(p.sessions.clients) != 1 || p.sessions.order.Len() != 1 {
			t.Errorf("remembered an hour later: %v", p.sessions.clients)
		}
	})
}

// However many clients and suites there are, what is remembered is bounded,
// and the oldest is forgotten first.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	p := New(Options{})
	d := digest.Of(nil)
	ctx := p.ConnContext(t.Context(), nil)
	for i := range 2 * maxSuites {
		p.sessions.set(ctx, clientAt(0), "", suiteNamed(i), d)
		p.sessions.set(ctx, clientAt(0), "", suiteNamed(0), d)
	}
	for suite, want := range map[int]bool{0: true, 1: false, 2*maxSuites - 1: true, maxSuites: false, maxSuites + 2: true} {
		if got := !p.sessions.get(ctx, clientAt(0), "", suiteNamed(suite)).IsZero(); got != want {
			t.Errorf("suite %d remembered: %v, want %v", suite, got, want)
		}
	}
	if n := len(ctx.Value(connectionKey{}).(*connection).suites); n != maxSuites {
		t.Errorf("a connection remembers %d suites, want %d", n, maxSuites)
	}
	for i := range 2 * maxClients {
		p.sessions.set(t.Context(), clientAt(i), "", suiteNamed(1), d)
		p.sessions.get(t.Context(), clientAt(0), "", suiteNamed(1)) // stays in use
	}
	for addr, want := range map[int]bool{0: true, 1: false, 2*maxClients - 1: true} {
		if got := !p.sessions.get(t.Context(), clientAt(addr), "", suiteNamed(1)).IsZero(); got != want {
			t.Errorf("client %d remembered: %v, want %v", addr, got, want)
		}
	}
	if len(p.sessions.clients) != maxClients || p.sessions.order.Len() != maxClients {
		t.Errorf("%d and %d clients, want %d", len(p.sessions.clients), p.sessions.order.Len(), maxClients)
	}
}
