package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// flush sends what was written so far on its way.
func flush(w http.ResponseWriter) { http.NewResponseController(w).Flush() }

func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "hello")
			flush(w)
			<-r.Context().Done()
		}, Options{})
		resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/"})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		start := time.Now()
		b, err := io.ReadAll(resp.Body)
		if string(b) != "hello" || !errors.Is(err, ErrStalled) || time.Since(start) != defaultStallTimeout {
			t.Errorf("read %q, %v after %v", b, err, time.Since(start))
		}
	})
}

// TestSteady holds that neither a slow mirror nor a slow reader is cut off.
func TestSteady(t *testing.T) {
	t.Parallel()
	const n = 1000
	for _, tt := range []struct {
		name          string
		write, listen time.Duration // pauses of either side
	}{
		{"slow mirror", defaultStallTimeout - time.Second, 0},
		{"slow reader", 0, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(n))
					for range n {
						time.Sleep(tt.write)
						w.Write([]byte{'x'})
						flush(w)
					}
				}, Options{})
				resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/"})
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, buf := 0, make([]byte, 1)
				for err == nil {
					var m int
					m, err = resp.Body.Read(buf)
					got += m
					time.Sleep(tt.listen)
				}
				if got != n || err != io.EOF {
					t.Errorf("read %d bytes, then %v", got, err)
				}
			})
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("the box stops")
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				flush(w)
			}
			<-r.Context().Done()
		}, Options{})
		for _, path := range []string{"/header", "/body"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(reason) })
			resp, err := c.Get(ctx, Request{URL: "http://deb.example.org" + path})
			if path == "/body" && err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, reason) {
				t.Errorf("%s: %v, want the cause", path, err)
			}
		}
		// A caller that left proves nothing about the host.
		if err := c.down.cause("deb.example.org:80"); err != nil {
			t.Error(err)
		}
	})
}

// TestDrip holds that no caller waits for the rest of an error page.
func TestDrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m meter
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			for r.Context().Err() == nil {
				io.WriteString(w, "x")
				flush(w)
				time.Sleep(600 * time.Millisecond)
			}
		}, Options{Meter: m.add})
		start := time.Now()
		_, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/"})
		var status *StatusError
		if !errors.As(err, &status) || time.Since(start) != drainTime || m.bytes["deb.example.org"] != 4 {
			t.Errorf("got %v after %v with %d bytes", err, time.Since(start), m.bytes["deb.example.org"])
		}
	})
}

// drop closes the connection in place of an answer.
const drop = 0

func TestRetry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		answers    []int // statuses, the last one again and again
		retryAfter string
		requests   int32
		code       int // of the StatusError; 0 if the file came
		min, max   time.Duration
	}{
		{name: "at once", answers: []int{200}, requests: 1},
		{name: "passing", answers: []int{503, 200}, requests: 2, min: firstWait / 2, max: firstWait},
		{name: "second retry", answers: []int{502, 504, 200}, requests: 3, min: firstWait, max: 3 * firstWait},
		{name: "lasting", answers: []int{503}, requests: 3, code: 503, min: firstWait, max: 3 * firstWait},
		{name: "missing", answers: []int{404, 200}, requests: 1, code: 404},
		{name: "forbidden", answers: []int{403, 200}, requests: 1, code: 403},
		{name: "gone", answers: []int{410, 200}, requests: 1, code: 410},
		{name: "broken", answers: []int{500, 200}, requests: 1, code: 500},
		{name: "told when", answers: []int{429, 200}, retryAfter: "2", requests: 2, min: 2 * time.Second, max: 2 * time.Second},
		{name: "told the limit", answers: []int{429, 200}, retryAfter: "3", requests: 2, min: maxWait, max: maxWait},
		{name: "told too late", answers: []int{503, 200}, retryAfter: "4", requests: 1, code: 503},
		{name: "told nonsense", answers: []int{503, 200}, retryAfter: "soon", requests: 2, min: firstWait / 2, max: firstWait},
		{name: "dropped", answers: []int{drop, 200}, requests: 2, min: firstWait / 2, max: firstWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
					answer := tt.answers[min(int(requests.Add(1)), len(tt.answers))-1]
					if answer == drop {
						panic(http.ErrAbortHandler)
					}
					if tt.retryAfter != "" {
						w.Header().Set("Retry-After", tt.retryAfter)
					}
					w.WriteHeader(answer)
				}, Options{})
				start := time.Now()
				resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/"})
				took := time.Since(start)
				var status *StatusError
				if err == nil {
					resp.Body.Close()
				} else if !errors.As(err, &status) || status.Code != tt.code {
					t.Errorf("got %v, want %d", err, tt.code)
				}
				if err == nil && tt.code != 0 || requests.Load() != tt.requests {
					t.Errorf("%d requests, %v; want %d and %d", requests.Load(), err, tt.requests, tt.code)
				}
				if took < tt.min || took > tt.max {
					t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
				}
				if tt.name == "told too late" && status.RetryAfter != 4*time.Second {
					t.Errorf("RetryAfter is %v", status.RetryAfter)
				}
			})
		})
	}
}

// TestDroppedIsNotDown: a mirror that cuts the connection for one file is still
// asked for others.
func TestDroppedIsNotDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bad" {
				panic(http.ErrAbortHandler)
			}
		}, Options{})
		var away *UnreachableError
		if _, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/bad"}); !errors.As(err, &away) {
			t.Errorf("got %v, want it unreachable", err)
		}
		resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/good"})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := New(Options{Policy: mustPolicy(t, "127.0.0.1"), DownFor: time.Hour})
	defer c.Close()
	for _, leftAlone := range []bool{false, true} {
		_, err := c.Get(t.Context(), Request{URL: "http://" + addr})
		var away *UnreachableError
		if !errors.As(err, &away) || away.Host != addr || errors.Is(err, errLeftAlone) != leftAlone {
			t.Errorf("got %v, want it unreachable, from memory %v", err, leftAlone)
		}
	}
}

func TestDownIsBounded(t *testing.T) {
	t.Parallel()
	d := down{lasts: time.Minute}
	now := time.Now()
	for i := range 3 * maxDown {
		d.mark(fmt.Sprintf("host%d.example.org:80", i), io.EOF, now)
	}
	if len(d.hosts) > maxDown {
		t.Errorf("%d hosts are remembered", len(d.hosts))
	}
	d.mark("last.example.org:80", io.EOF, now.Add(time.Hour))
	if len(d.hosts) != 1 {
		t.Errorf("%d hosts are left after all others are over", len(d.hosts))
	}
}

func TestConnectionsPerHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inFlight, most atomic.Int32
		release := make(chan struct{})
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), inFlight.Add(1)))
			<-release
			inFlight.Add(-1)
		}, Options{})
		n := 3 * commonRoom.Places
		done := make(chan error, n)
		for range n {
			go func() {
				resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/"})
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				done <- err
			}()
		}
		synctest.Wait()
		if got := inFlight.Load(); int(got) != commonRoom.Places {
			t.Errorf("%d requests in flight, want %d", got, commonRoom.Places)
		}
		close(release)
		for range n {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := most.Load(); int(got) != commonRoom.Places {
			t.Errorf("%d requests in flight at most, want %d", got, commonRoom.Places)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 7, 1, 10, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, "-5": 0, "1.5": 0, "soon": 0,
		"86400": maxRetryAfter, "86401": maxRetryAfter, "99999999999999999999999999": maxRetryAfter,
		"Tue, 01 Jul 2025 10:00:02 GMT": 2 * time.Second, "Tue, 01 Jul 2025 09:00:00 GMT": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": maxRetryAfter,
	} {
		if got := parseRetryAfter(s, now); got != want {
			t.Errorf("%q gave %v, want %v", s, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "-1", "99999999999999999999", "Tue, 01 Jul 2025 10:00:02 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(s)
	}
	now := time.Date(2025, 7, 1, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, now); d < 0 || d > maxRetryAfter {
			t.Errorf("%q gave %v", s, d)
		}
	})
}
