package mirror

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"millpond/internal/front"
)

// A party that has all connections to a mirror gives one to another party: a request
// without an answer is sent again, a body ends with ErrGaveWay, and the mirror is not
// taken to be at fault.
func TestGivingWay(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]int{"silent": 0, "begun": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { giveWay(t, name, cut) })
		})
	}
}

// giveWay has one party request a file until no connection is left, and then another
// one. It expects that many answers to be cut.
func giveWay(t *testing.T, name string, cut int) {
	const archive, at = "http://archive.example.org/debian/", "http://a.example/debian"
	m, release := newMirrored(t, Options{}), make(chan struct{})
	m.on("a.example", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/begun") {
			http.NewResponseController(w).Flush()
		}
		select {
		case <-release:
			io.WriteString(w, "all")
		case <-r.Context().Done():
		}
	})
	get := func(client byte, name string) error {
		ctx := For(t.Context(), front.PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, client})), nil)
		resp, err := m.Get(ctx, Request{URL: archive + name, Mirror: at})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	first, second := make(chan error, commonRoom.Places), make(chan error, 1)
	for range commonRoom.Places {
		go func() { first <- get(1, name) }()
	}
	synctest.Wait()
	go func() { second <- get(2, "silent") }()
	synctest.Wait()
	a, _ := m.archiveOf(Request{URL: archive})
	if d, ok := a.mirror(at); !ok || m.failing(d) {
		t.Errorf("the mirror counts as failing: %v", m.fault(d))
	}
	close(release)
	if err := <-second; err != nil {
		t.Error(err)
	}
	for range commonRoom.Places {
		switch err := <-first; {
		case errors.Is(err, ErrGaveWay):
			cut--
		case err != nil:
			t.Error(err)
		}
	}
	if cut != 0 {
		t.Errorf("%d answers too few were cut", cut)
	}
}

// A request's turn begins when it gets a connection, not when it is made.
func TestAtTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const archive, at = "http://archive.example.org/debian/", "http://a.example/debian"
		m, release := newMirrored(t, Options{}), make(chan struct{})
		m.on("a.example", func(http.ResponseWriter, *http.Request) { <-release })
		var begun atomic.Int32
		ended := make(chan error)
		for range commonRoom.Places + 1 {
			go func() {
				resp, err := m.Get(AtTurn(t.Context(), func() { begun.Add(1) }), Request{URL: archive + "file", Mirror: at})
				if err == nil {
					err = resp.Body.Close()
				}
				ended <- err
			}()
		}
		synctest.Wait()
		if n := begun.Load(); int(n) != commonRoom.Places {
			t.Errorf("%d requests of %d have begun, want %d", n, commonRoom.Places+1, commonRoom.Places)
		}
		close(release)
		for range commonRoom.Places + 1 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if n := begun.Load(); int(n) != commonRoom.Places+1 {
			t.Errorf("%d requests have begun at last", n)
		}
	})
}
