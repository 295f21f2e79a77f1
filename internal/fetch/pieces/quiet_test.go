package pieces

import (
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
