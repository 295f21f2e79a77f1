package pieces

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Where all sources are silent the download ends soon, and says which were; but not
// while one of them sends.
func TestSilenceEndsTheDownload(t *testing.T) {
	t.Parallel()
	const patience = 300 * time.Millisecond
	for name, c := range map[string]struct {
		stalling int
		sending  bool
	}{
		"one is silent":              {1, false},
		"three are silent":           {3, false},
		"three, and one that is not": {3, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(5)
				o := options(m.Size())
				o.Patience = func() time.Duration { return patience }
				var all []Source
				for i := range c.stalling {
					all = append(all, &server{name: fmt.Sprint(i), stuck: true, data: m.want, manifest: m.right(t)})
				}
				if c.sending {
					good := honest(t, "good", m)
					good.each = 100 * time.Millisecond
					all = append(all, good)
				}
				begun := time.Now()
				r, err := Download(t.Context(), m, all, o)
				took := time.Since(begun)
				if err != nil {
					t.Fatal(err)
				}
				if c.sending {
					if len(r.Silent) != 0 || len(m.from) != 5 || took > 2*time.Second {
						t.Errorf("%d pieces after %v, silent: %v", len(m.from), took, r.Silent)
					}
					return
				}
				if len(r.Silent) != c.stalling || r.Lost < patience || took > patience+2*quietEvery {
					t.Errorf("ended after %v, for %v of silence of %v", took, r.Lost, r.Silent)
				}
			})
		})
	}
}

// Result.Lost begins with the last byte of any source, or with the download: also what
// was lost to sources that failed before.
func TestLost(t *testing.T) {
	t.Parallel()
	const (
		patience = 300 * time.Millisecond
		each     = 200 * time.Millisecond
	)
	for name, c := range map[string]struct {
		failing int     // sources, each after some time
		last    *server // the source that ends the download
		heard   time.Duration
		least   time.Duration // that the download takes
	}{
		"nothing ever comes":      {last: &server{block: true}, least: patience},
		"the source breaks off":   {last: &server{stuck: true, each: each}, heard: each, least: each + patience},
		"others failed before it": {failing: MaxSources, last: &server{block: true}, least: each + patience},
		"and it breaks off then":  {failing: MaxSources, last: &server{stuck: true, each: each}, heard: 2 * each, least: 2*each + patience},
		"one failed beside it":    {failing: 1, last: &server{block: true}, least: patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory(20)
				o := options(m.Size())
				o.Patience = func() time.Duration { return patience }
				var all []Source
				for i := range c.failing {
					all = append(all, &server{name: fmt.Sprint("failing", i), data: m.want, err: errors.New("refused"), each: each})
				}
				c.last.name, c.last.data = "last", m.want
				begun := time.Now()
				r, err := Download(t.Context(), m, append(all, c.last), o)
				took := time.Since(begun)
				if err != nil || len(r.Silent) != 1 || r.Silent[0] != Source(c.last) {
					t.Fatalf("silent: %v, %v", r.Silent, err)
				}
				if took < c.least || took > c.least+2*quietEvery || r.Lost != took-c.heard {
					t.Errorf("ended after %v, want %v; lost %v, want %v", took, c.least, r.Lost, took-c.heard)
				}
			})
		})
	}
}

// A source is silent since it was sent the first of its open requests, or since the last
// byte of any; a piece that it was asked for lately makes no difference.
func TestSilentFor(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type event struct {
		at     time.Duration
		source int
		nth    int // of the source's requests
		bytes  int // 0: it is sent
	}
	for name, c := range map[string]struct {
		sources int
		events  []event // in order
		want    time.Duration
	}{
		"asked for one":                    {1, []event{{0, 0, 0, 0}}, 500 * ms},
		"asked for a second one lately":    {1, []event{{0, 0, 0, 0}, {400 * ms, 0, 1, 0}}, 500 * ms},
		"that has sent for the first":      {1, []event{{0, 0, 0, 0}, {300 * ms, 0, 0, 9}, {400 * ms, 0, 1, 0}}, 200 * ms},
		"that has sent for the second":     {1, []event{{0, 0, 0, 0}, {100 * ms, 0, 1, 0}, {200 * ms, 0, 1, 9}}, 300 * ms},
		"that has sent for both":           {1, []event{{0, 0, 0, 0}, {0, 0, 1, 0}, {100 * ms, 0, 1, 9}, {400 * ms, 0, 0, 9}}, 100 * ms},
		"not sent yet, for want of room":   {1, nil, 0},
		"two, the second asked later":      {2, []event{{0, 0, 0, 0}, {200 * ms, 1, 0, 0}}, 300 * ms},
		"two, one of which is not sent":    {2, []event{{0, 0, 0, 0}, {400 * ms, 0, 1, 0}}, 0},
		"two, one of which has sent":       {2, []event{{0, 0, 0, 0}, {0, 1, 0, 0}, {450 * ms, 1, 0, 9}}, 50 * ms},
		"two, both asked for more lately":  {2, []event{{0, 0, 0, 0}, {100 * ms, 1, 0, 0}, {300 * ms, 0, 1, 0}, {400 * ms, 1, 1, 0}}, 400 * ms},
		"at the very beginning, and later": {1, []event{{0, 0, 1, 0}, {0, 0, 0, 0}}, 500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPicker(20, func(int) bool { return false }, func() int { return 0 })
				all := make([]*source, c.sources)
				open := make([][]*request, c.sources)
				for i := range all {
					all[i] = &source{verified: true}
					for range perSource {
						r, _ := p.pick(t.Context(), all[i], all[:i+1])
						open[i] = append(open[i], r)
					}
				}
				begun := time.Now()
				for _, e := range c.events {
					time.Sleep(e.at - time.Since(begun))
					if r := open[e.source][e.nth]; e.bytes > 0 {
						r.hear(e.bytes)
					} else {
						p.send(r)
					}
				}
				time.Sleep(500*ms - time.Since(begun))
				// To the millisecond: what is sent at the very beginning has the time 1 ns, not 0.
				if got := p.silentFor(all); got.Round(ms) != c.want {
					t.Errorf("silent for %v, want %v", got, c.want)
				}
				for _, r := range open[0] { // it is idle then
					_ = p.end(r) // no piece came
				}
				if got := p.silentFor(all); got != 0 {
					t.Errorf("silent for %v although one is idle", got)
				}
			})
		})
	}
}
