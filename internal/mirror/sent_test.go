package mirror

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tally is an Options.Answered.
type tally struct {
	mu sync.Mutex
	of map[string]int // by host, path and status
}

func (a *tally) note(f File, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[string]int)
	}
	a.of[fmt.Sprint(f.Host, f.Path, " ", status)]++
}

func (a *tally) want(t *testing.T, want map[string]int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !maps.Equal(a.of, want) {
		t.Errorf("counted %v, want %v", a.of, want)
	}
}

// Each request that reaches a server is reported once, with its status: those that
// redirects lead to, repeated ones, and those that got no answer.
func TestAnswered(t *testing.T) {
	t.Parallel()
	var a tally
	var once sync.Once
	var cuts atomic.Int64
	second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(second.Close)
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(404)
		case "/same":
			w.WriteHeader(304)
		case "/moved":
			http.Redirect(w, r, second.URL+"/there", http.StatusFound)
		case "/busy":
			once.Do(func() { w.WriteHeader(503) })
		case "/cut":
			cuts.Add(1)
			panic(http.ErrAbortHandler)
		}
	}, Options{Answered: a.note})
	for _, path := range []string{"/file", "/missing", "/same", "/moved", "/busy", "/cut"} {
		resp, err := c.Get(t.Context(), Request{URL: srv.URL + path, IfNoneMatch: `"x"`})
		if err == nil {
			resp.Body.Close()
		}
	}
	// Nothing is sent where there is no connection.
	if _, err := c.Get(t.Context(), Request{URL: "http://127.0.0.1:1/"}); err == nil {
		t.Error("nothing answered")
	}
	if n := cuts.Load(); n < maxTries {
		t.Errorf("%d requests were cut, want at least %d", n, maxTries)
	}
	host, _ := url.Parse(srv.URL)
	other, _ := url.Parse(second.URL)
	a.want(t, map[string]int{
		host.Host + "/file 200": 1, host.Host + "/missing 404": 1, host.Host + "/same 304": 1,
		host.Host + "/moved 302": 1, other.Host + "/moved 200": 1, // the path as it was asked for
		host.Host + "/busy 503": 1, host.Host + "/busy 200": 1, host.Host + "/cut 0": int(cuts.Load()),
	})
}

// What is requested of an archive's mirrors counts as theirs.
func TestAnsweredByMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a tally
		m := newMirrored(t, Options{Answered: a.note})
		m.on("a.example", answers(404))
		if _, _, err := m.get(t.Context(), Request{URL: "x"}); err != nil {
			t.Error(err)
		}
		a.want(t, map[string]int{"a.example/debian/x 404": 1, "b.example/debian/x 200": 1})
	})
}

// A request that a kept connection loses is sent twice, and so are there two; one
// that is given up after it was sent is one.
func TestAnsweredAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a tally
		var requests int
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			switch requests++; requests {
			case 1:
				io.WriteString(w, "hello")
			case 2:
				panic(http.ErrAbortHandler)
			case 4:
				<-r.Context().Done()
			}
		}, Options{Answered: a.note})
		for range 2 {
			resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/a"})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if _, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/a", Patience: time.Second}); err == nil {
			t.Error("a mirror that is silent answered")
		}
		a.want(t, map[string]int{"deb.example.org/a 200": 2, "deb.example.org/a 0": 2})
	})
}
