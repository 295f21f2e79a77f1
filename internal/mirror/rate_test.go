package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// always is a rate for all hours.
func always(r int64) (all Rates) {
	for h := range all {
		all[h] = r
	}
	return all
}

// filled sends as many bytes as the path says.
func filled(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Path[1:])
	w.Header().Set("Content-Length", fmt.Sprint(n))
	chunk := make([]byte, 32<<10)
	for n > 0 {
		m, err := w.Write(chunk[:min(n, len(chunk))])
		if err != nil {
			return
		}
		n -= m
	}
}

// fetchAll reads a body of n bytes from the host of that number.
func fetchAll(ctx context.Context, c *Client, host, n int, each func(int)) error {
	u := url.URL{Scheme: "http", Host: fmt.Sprintf("host%d.example.org", host), Path: fmt.Sprint("/", n)}
	resp, err := c.Get(ctx, Request{URL: u.String()})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := make([]byte, 32<<10)
	for {
		m, err := resp.Body.Read(buf)
		each(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// All bodies together stay within the rate from the first byte on, and use it.
func TestRate(t *testing.T) {
	t.Parallel()
	const bodies, size = 7, 2_000_000
	for _, limit := range []int64{1_000, 100_000, 1_000_000, 20_000_000, 1 << 40} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var got, over int64
			start := time.Now()
			burst := int64(burstAt(limit))
			c := newPiped(t, filled, Options{Rates: always(limit), Meter: func(_ File, _ Answer, n int64) {
				mu.Lock()
				defer mu.Unlock()
				// What was read waits for its turn: one for each body.
				got += n
				allowed := burst + int64(time.Since(start).Seconds()*float64(limit)) + 1 + bodies*int64(quantumAt(limit))
				over = max(over, got-allowed)
			}})
			size := int(min(size, limit*100))
			var all sync.WaitGroup
			for i := range bodies {
				all.Go(func() {
					if err := fetchAll(t.Context(), c, i, size, func(int) {}); err != nil {
						t.Errorf("body %d: %v", i, err)
					}
				})
			}
			all.Wait()
			want := time.Duration(float64(bodies*size-int(min(burst, int64(bodies*size)))) / float64(limit) * 1e9)
			if took := time.Since(start); took < want-time.Millisecond || took > want+want/100+10*time.Millisecond {
				t.Errorf("%d bytes at %d a second took %v, want %v", bodies*size, limit, took, want)
			}
			if over > 0 {
				t.Errorf("at %d a second, %d bytes too many", limit, over)
			}
		})
	}
}

// Bodies get equal shares, and a small file its share from the start, beside large
// ones that wait already.
func TestRateIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, bodies = 1_000_000, 24
		c := newPiped(t, filled, Options{Rates: always(limit)})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex
		got := make([]int, bodies)
		for i := range bodies {
			all.Go(func() {
				err := fetchAll(ctx, c, i, 1<<30, func(n int) {
					mu.Lock()
					defer mu.Unlock()
					got[i] += n
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("a body that nobody wants any more: %v", err)
				}
			})
		}
		time.Sleep(10 * time.Second)
		start := time.Now()
		if err := fetchAll(t.Context(), c, 0, 150_000, func(int) {}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 150_000*(bodies+1)*time.Second/limit+time.Second {
			t.Errorf("a Release took %v beside %d packages", took, bodies)
		}
		mu.Lock()
		for i, n := range got {
			// One of them may have had the burst.
			if want, most := got[0], limit/burstsPerSecond+2*quantumAt(limit); n < want-most || n > want+most {
				t.Errorf("body %d got %d bytes, the first one %d", i, n, want)
			}
		}
		mu.Unlock()
		ended := time.Now()
		cancel()
		all.Wait()
		if took := time.Since(ended); took > 0 {
			t.Errorf("bodies ended %v after their context", took)
		}
	})
}

// The rate of an hour holds from its first moment on, also for bodies that wait
// for their turn by another; and such a wait is no stall of the mirror.
func TestRateChangesWithTheHour(t *testing.T) {
	t.Parallel()
	const bodies, size = 10, 1_000_000
	for _, tt := range []struct {
		name          string
		before, after int64
		want          time.Duration // of the whole
	}{
		{"no limit any more", 1_000, 0, time.Minute},
		{"faster", 1_000, 1_000_000, time.Minute + 10*time.Second},
		{"slower", 100_000, 10_000, time.Minute + (bodies*size-6_000_000)/10_000*time.Second},
		{"limit from now on", 0, 1_000_000, 0},
		{"the same", 100_000, 100_000, bodies * size / 100_000 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hour := time.Now().Hour()
				rates := always(tt.after)
				rates[hour] = tt.before
				c := newPiped(t, filled, Options{Rates: rates})
				time.Sleep(untilNextHour(time.Now()) - time.Minute)
				start := time.Now()
				var all sync.WaitGroup
				for i := range bodies {
					all.Go(func() {
						if err := fetchAll(t.Context(), c, i, size, func(int) {}); err != nil {
							t.Errorf("body %d: %v", i, err)
						}
					})
				}
				all.Wait()
				if took := time.Since(start); (took - tt.want).Abs() > tt.want/50 {
					t.Errorf("took %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// A mirror is not taken for slow because its rate is limited.
func TestLimitedMirrorIsNotSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rates := always(1000)
		hour := time.Now().Hour()
		rates[hour] = 0
		m := newMirrored(t, Options{Rates: rates})
		m.on("a.example", sends(minSample, 0))
		m.on("b.example", sends(100_000, 0))
		m.take(t, "small", minSample)
		before := m.Health()[0].Rate
		time.Sleep(time.Hour)
		if _, n, err := m.get(t.Context(), Request{URL: "large", Mirror: "http://b.example/pub", Failover: true}); n != 100_000 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if h := m.Health(); before == 0 || h[1].Rate != 0 {
			t.Errorf("rate %d while it was limited, %d before", h[1].Rate, before)
		}
	})
}

// BenchmarkBody is what a read of 32 KiB costs beside the copying.
func BenchmarkBody(b *testing.B) {
	elsewhen := always(1)
	elsewhen[time.Now().Hour()], elsewhen[(time.Now().Hour()+1)%24] = 0, 0
	for name, rates := range map[string]Rates{"no limit": {}, "none at this hour": elsewhen, "limit": always(1 << 50)} {
		b.Run(name, func(b *testing.B) {
			c := New(Options{Rates: rates})
			ctx, cancel := context.WithCancelCause(b.Context())
			body := c.guard(ctx, cancel, File{}, Answer{}, "http://archive.example.org/", io.NopCloser(zeroes{}))
			defer body.Close()
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := io.ReadFull(body, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// zeroes is endless.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }
