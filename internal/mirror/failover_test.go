package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const threeMirrors = "http://archive.example.org/debian=http://a.example/debian|http://b.example/pub|http://c.example"

// mirrored is an archive's mirrors behind pipes.
type mirrored struct {
	*Client
	mu    sync.Mutex
	does  map[string]http.HandlerFunc // by host
	asked []string                    // host and path
	taken map[File]int64
}

// newMirrored has mirrors of archive.example.org that send 100 bytes.
func newMirrored(t *testing.T, o Options) *mirrored {
	m := &mirrored{does: make(map[string]http.HandlerFunc), taken: make(map[File]int64)}
	o.Mirrors = mustMirrors(t, threeMirrors)
	o.Meter = func(f File, _ Answer, n int64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.taken[f] += n
	}
	m.Client = newPiped(t, func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.asked = append(m.asked, r.Host+r.URL.Path)
		does := m.does[r.Host]
		m.mu.Unlock()
		if does == nil {
			does = sends(100, 0)
		}
		does(w, r)
	}, o)
	return m
}

// on makes a host do something else.
func (m *mirrored) on(host string, does http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.does[host] = does
}

// requests returns the hosts that were asked since the last call.
func (m *mirrored) requests() (hosts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.asked {
		host, _, _ := strings.Cut(a, ".")
		hosts = append(hosts, host)
	}
	m.asked = nil
	return hosts
}

// want fails the test unless these hosts have been asked.
func (m *mirrored) want(t *testing.T, hosts string) {
	t.Helper()
	if got := strings.Join(m.requests(), " "); got != hosts {
		t.Errorf("asked %q, want %q", got, hosts)
	}
}

// sends answers with n bytes, each kilobyte after a while.
func sends(n int, kilobyte time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for rest := n; rest > 0; rest -= 1 << 10 {
			time.Sleep(kilobyte)
			w.Write(make([]byte, min(rest, 1<<10)))
			flush(w)
		}
	}
}

func answers(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

func silent(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func cuts(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// get requests a file of the archive and reads it.
func (m *mirrored) get(ctx context.Context, r Request) (resp *Response, n int64, err error) {
	r.URL = "http://archive.example.org/debian/" + r.URL
	if resp, err = m.Get(ctx, r); err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	n, err = io.Copy(io.Discard, resp.Body)
	return resp, n, err
}

// take requests a file of a known size where Mirrors says first.
func (m *mirrored) take(t *testing.T, path string, size int64) {
	t.Helper()
	r := Request{URL: path, Failover: true}
	r.Mirror = m.Mirrors(Request{URL: "http://archive.example.org/debian/" + path}, size, "")[0]
	if _, n, err := m.get(t.Context(), r); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// A mirror that does not give a file is passed over, whatever it does instead, and
// what the others send is the archive's.
func TestMirrorsAreAskedInTurn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does  http.HandlerFunc
		takes time.Duration
	}{
		"unavailable": {does: answers(503)},
		"missing":     {does: answers(404)},
		"forbidden":   {does: answers(403)},
		"cut":         {does: cuts},
		"silent":      {does: silent, takes: Patience / 2}, // each of two
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMirrored(t, Options{})
				m.on("a.example", c.does)
				m.on("b.example", c.does)
				begun := time.Now()
				resp, n, err := m.get(t.Context(), Request{URL: "pool/x%2b.deb?y"})
				if err != nil || n != 100 || resp.Mirror != "http://c.example" || resp.URL != "http://archive.example.org/debian/pool/x%2b.deb?y" {
					t.Fatalf("%+v, %d bytes, %v", resp, n, err)
				}
				if took := time.Since(begun); took != 2*c.takes {
					t.Errorf("after %v", took)
				}
				if want := []string{"a.example/debian/pool/x+.deb", "b.example/pub/pool/x+.deb", "c.example/pool/x+.deb"}; !slices.Equal(m.asked, want) {
					t.Errorf("asked %q", m.asked)
				}
				if got := m.taken[File{"archive.example.org", "/debian/pool/x+.deb"}]; got != 100 || len(m.taken) != 1 {
					t.Errorf("counted %v", m.taken)
				}
			})
		})
	}
}

// When no mirror has a file, the one that says so is believed; one that was slow
// is asked again and waited for, if nobody says anything.
func TestWhatNoMirrorGives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.on("a.example", silent)
		m.on("b.example", answers(404))
		m.on("c.example", answers(503))
		_, _, err := m.get(t.Context(), Request{URL: "x"})
		var status *StatusError
		if !errors.As(err, &status) || status.Code != 404 || status.URL != "http://b.example/pub/x" {
			t.Errorf("got %v", err)
		}
		m.want(t, "a b c")
		if _, _, err := m.get(t.Context(), Request{URL: "y"}); !errors.As(err, &status) || status.Code != 404 {
			t.Errorf("got %v", err)
		}
		m.want(t, "b") // the others have just failed
	})
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.on("a.example", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(90 * time.Second)
			sends(100, 0)(w, r)
		})
		m.on("b.example", answers(500))
		m.on("c.example", cuts)
		if resp, n, err := m.get(t.Context(), Request{URL: "x"}); err != nil || n != 100 || resp.Mirror != "http://a.example/debian" {
			t.Errorf("%d bytes, %v", n, err)
		}
		m.on("a.example", cuts)
		var status *StatusError
		if _, _, err := m.get(t.Context(), Request{URL: "x"}); !errors.As(err, &status) || status.Code != 500 {
			t.Errorf("got %v", err)
		}
	})
	m := newMirrored(t, Options{Offline: true})
	if _, _, err := m.get(t.Context(), Request{URL: "x"}); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v", err)
	}
}

// The fastest mirror is asked first; small files find out which that is, and again
// from time to time.
func TestFastestMirrorIsAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		const size, big = minSample, 10 * minSample
		m.on("a.example", sends(size, 10*time.Millisecond))
		m.on("b.example", sends(size, 2*time.Millisecond))
		m.on("c.example", sends(size, 30*time.Millisecond))
		for range 5 {
			m.take(t, "small", size)
		}
		m.want(t, "a b c b b")
		// It becomes slow.
		m.on("b.example", sends(size, 100*time.Millisecond))
		for range 8 {
			m.take(t, "small", size)
		}
		if got := m.requests(); got[0] != "b" || got[7] != "a" {
			t.Errorf("asked %v", got)
		}
		// It is fast again, which only small files find out.
		m.on("b.example", sends(size, time.Millisecond))
		time.Sleep(outdated)
		if at := m.Mirrors(Request{URL: "http://archive.example.org/debian/x"}, big, ""); at[0] != "http://a.example/debian" {
			t.Errorf("a large file is requested at %s", at[0])
		}
		for range 6 {
			m.take(t, "small", size)
		}
		if got := m.requests(); got[5] != "b" || !slices.Contains(got, "c") {
			t.Errorf("asked %v", got)
		}
		for _, h := range m.Health() {
			if h.Archive != "http://archive.example.org/debian" || h.FirstByte <= 0 || h.Rate <= 0 || h.Measured.IsZero() || h.Down != "" {
				t.Errorf("health %+v", h)
			}
		}
	})
}

// The client whose small file finds out that a mirror is bad waits for a second, or
// three.
func TestMeasuringCostsLittleTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does  http.HandlerFunc
		takes time.Duration
	}{
		"silent":   {silent, tryPatience},
		"trickles": {sends(100<<10, 100*time.Millisecond), tryAfter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMirrored(t, Options{})
				m.on("a.example", sends(100<<10, time.Millisecond))
				m.on("b.example", c.does)
				m.take(t, "x", 100<<10)
				begun := time.Now()
				_, n, err := m.get(t.Context(), Request{URL: "x", Mirror: "http://b.example/pub", Failover: true})
				if !errors.Is(err, ErrSlow) && !errors.Is(err, ErrTooSlow) {
					t.Errorf("%d bytes, %v", n, err)
				}
				if took := time.Since(begun); took < c.takes || took > c.takes+time.Second {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// A mirror that was asked in vain is asked last for a while, longer each time, and
// by a small file then.
func TestFailedMirrorIsAskedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.on("a.example", answers(503))
		get := func() {
			t.Helper()
			if _, n, err := m.get(t.Context(), Request{URL: "x"}); err != nil || n != 100 {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
		first := func(size int64) string {
			return m.Mirrors(Request{URL: "http://archive.example.org/debian/x"}, size, "")[0]
		}
		get()
		get()
		m.want(t, "a b b")
		if h := m.Health()[0]; !strings.Contains(h.Down, "503") {
			t.Errorf("health %+v", h)
		}
		for again := range 3 {
			time.Sleep(defaultDownFor<<again - time.Second)
			if at := first(-1); at != "http://b.example/pub" {
				t.Errorf("too early at %s", at)
			}
			time.Sleep(time.Second)
			if at := first(smallFile + 1); at != "http://b.example/pub" {
				t.Errorf("a large file at %s", at)
			}
			for first(100) != "http://a.example/debian" { // c has not been measured either
				time.Sleep(exploreAgain)
			}
			_, _, _ = m.get(t.Context(), Request{URL: "x", Mirror: "http://a.example/debian", Failover: true})
		}
		m.Blame("http://archive.example.org/debian/x", "http://b.example/pub", errors.New("wrong bytes"))
		m.on("a.example", nil)
		m.requests()
		get()
		m.want(t, "c")
	})
}

// Failures at once count as one, a mirror that wants to be asked later is, and one
// of which others are asked instead is none that the box is without.
func TestHowLongAMirrorIsAskedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		last := func() bool {
			at := m.Mirrors(Request{URL: "http://archive.example.org/debian/x"}, -1, "")
			return at[2] == "http://a.example/debian"
		}
		m.on("a.example", answers(500))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { _, _, _ = m.get(t.Context(), Request{URL: "x"}) })
		}
		all.Wait()
		time.Sleep(defaultDownFor - time.Second)
		if !last() {
			t.Error("asked again too soon")
		}
		time.Sleep(time.Second)
		if m.Health()[0].Down != "" {
			t.Error("left alone for longer than after one failure")
		}
		m.on("a.example", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		_, _, _ = m.get(t.Context(), Request{URL: "x", Mirror: "http://a.example/debian"})
		time.Sleep(99 * time.Second)
		if !last() {
			t.Error("asked before the time that it stated")
		}
		for i, host := range []string{"a.example:80", "b.example:80", "c.example:80"} {
			m.down.mark(host, errors.New("refused"), time.Now())
			if away := m.Away(); len(away) != map[int]int{2: 3}[i] {
				t.Errorf("after %d mirrors away: %v", i+1, away)
			}
		}
	})
}

// An archive with another place than its name, and no more, is requested there as
// any other.
func TestOneMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.mirrors = mustMirrors(t, "http://archive.example.org/debian=http://a.example/debian")
		m.on("a.example", answers(503))
		if _, _, err := m.get(t.Context(), Request{URL: "x"}); err == nil {
			t.Error("no error")
		}
		m.want(t, "a a a")
		m.on("a.example", sends(100, time.Minute))
		if _, n, err := m.get(t.Context(), Request{URL: "x"}); err != nil || n != 100 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// What is much slower than another mirror is known to be ends, where that can be
// asked; what is not, or has no other, does not.
func TestMuchSlowerMirrorIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.on("a.example", sends(minSample, time.Millisecond)) // a thousand a second
		m.take(t, "small", minSample)
		get := func(kilobyte time.Duration, elsewhere bool) (int64, error) {
			m.on("b.example", sends(100<<10, kilobyte))
			_, n, err := m.get(t.Context(), Request{URL: "large", Mirror: "http://b.example/pub", Failover: elsewhere})
			return n, err
		}
		if _, err := get(time.Millisecond, false); err != nil {
			t.Fatal(err)
		}
		if n, err := get(500*time.Millisecond, true); !errors.Is(err, ErrTooSlow) || n < 10<<10 || n > 30<<10 {
			t.Errorf("much slower: %d bytes, %v", n, err)
		}
		if n, err := get(500*time.Millisecond, false); err != nil || n != 100<<10 {
			t.Errorf("the last one: %d bytes, %v", n, err)
		}
		done := make(chan error) // the line is full
		m.on("c.example", sends(4<<20, 3*time.Millisecond))
		go func() {
			_, _, err := m.get(t.Context(), Request{URL: "huge", Mirror: "http://c.example"})
			done <- err
		}()
		if n, err := get(100*time.Millisecond, true); err != nil || n != 100<<10 {
			t.Errorf("much slower beside others: %d bytes, %v", n, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.Blame("http://archive.example.org/debian/huge", "http://c.example", errors.New("wrong bytes"))
		m.on("a.example", sends(minSample, 300*time.Millisecond))
		for range 30 { // by now as slow
			_, _, _ = m.get(t.Context(), Request{URL: "small", Mirror: "http://a.example/debian"})
		}
		if n, err := get(500*time.Millisecond, true); err != nil || n != 100<<10 {
			t.Errorf("about as slow: %d bytes, %v", n, err)
		}
	})
}

// Mirrors that trickle are left for one of which nothing is known, and that for none.
func TestTricklingMirrorIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		for i, at := range []string{"http://a.example/debian", "http://b.example/pub", "http://c.example"} {
			m.on(strings.Split(at, "/")[2], sends(100<<10, 2*time.Second))
			begun := time.Now()
			_, n, err := m.get(t.Context(), Request{URL: "x", Mirror: at, Failover: true})
			if last := i == 2; errors.Is(err, ErrTooSlow) == last || last && err != nil {
				t.Errorf("%s: %d bytes, %v", at, n, err)
			} else if took := time.Since(begun); !last && took > 2*tryAfter {
				t.Errorf("%s: after %v", at, took)
			}
		}
	})
}

// However many mirrors are silent, apt is still there when another one is asked.
func TestManySilentMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		entry := "http://archive.example.org/debian="
		for i := range maxMirrors - 1 {
			host := fmt.Sprintf("%d.example", i)
			entry += "http://" + host + "|"
			m.on(host, silent)
		}
		m.mirrors = mustMirrors(t, entry+"http://c.example")
		begun := time.Now()
		if _, _, err := m.get(t.Context(), Request{URL: "x"}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// No login goes to a host that it is not for.
func TestLoginsOfMirrors(t *testing.T) {
	t.Parallel()
	logins := func(text string) Logins {
		l, err := ParseLogins(text)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	const (
		archive = "machine http://archive.example.org login archive password 1\n"
		mirror  = "machine http://b.example login mirror password 2\n"
	)
	for i, c := range []struct {
		file  string
		login Login // the client's
		want  string
	}{
		{archive + mirror, "", "a.example: b.example:mirror c.example:"},
		{mirror, "", "a.example: b.example:mirror c.example:"},
		{archive, "", "a.example: b.example: c.example:"},
		{archive + mirror, Basic("client", "3"), "archive.example.org:client"},
		{"", "", "a.example: b.example: c.example:"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got []string
				m := newMirrored(t, Options{Logins: logins(c.file)})
				for _, host := range []string{"a.example", "b.example", "c.example", "archive.example.org"} {
					m.on(host, func(w http.ResponseWriter, r *http.Request) {
						user, _, _ := r.BasicAuth()
						got = append(got, r.Host+":"+user)
						w.WriteHeader(404)
					})
				}
				r := Request{URL: "x", Login: c.login}
				if c.login == "" {
					r.Login = m.LoginFor("http://archive.example.org/debian/x")
				}
				_, _, _ = m.get(t.Context(), r)
				if g := strings.Join(got, " "); g != c.want {
					t.Errorf("asked %q, want %q", g, c.want)
				}
				got = nil
				_, _, _ = m.get(t.Context(), Request{URL: "x"}) // what is asked without one has none
				if g := strings.Join(got, " "); g != "a.example: b.example: c.example:" {
					t.Errorf("without one asked %q", g)
				}
			})
		})
	}
}

// MILLPOND_ONLY_ARCHIVES is about the archive's name, whatever mirrors it has.
func TestMirrorsOfTheOnlyArchives(t *testing.T) {
	t.Parallel()
	for only, ok := range map[string]bool{"archive.example.org/debian": true, "a.example": false} {
		synctest.Test(t, func(t *testing.T) {
			p := new(Policy)
			if err := p.Restrict([]string{only}); err != nil {
				t.Fatal(err)
			}
			m := newMirrored(t, Options{Policy: p})
			var refused *RefusedError
			if _, _, err := m.get(t.Context(), Request{URL: "x"}); (err == nil) != ok || err != nil && !errors.As(err, &refused) {
				t.Errorf("%s: %v", only, err)
			}
		})
	}
}

// What a mirror's redirect leads to counts as its own.
func TestRedirectOfAMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t, Options{})
		m.on("a.example", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, (&url.URL{Scheme: "http", Host: "cdn.example", Path: r.URL.Path}).String(), http.StatusFound)
		})
		resp, _, err := m.get(t.Context(), Request{URL: "x"})
		if err != nil || resp.URL != "http://cdn.example/debian/x" || resp.Mirror != "http://a.example/debian" {
			t.Errorf("%+v, %v", resp, err)
		}
		if m.taken[File{"cdn.example", "/debian/x"}] != 100 || m.taken[File{"archive.example.org", "/debian/x"}] == 0 {
			t.Errorf("counted %v", m.taken)
		}
	})
}
