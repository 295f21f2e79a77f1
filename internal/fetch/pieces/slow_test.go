package pieces

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A piece that the client waits for is asked of another source when the first one is
// slow, which is told so; one that is somewhat slower is left alone.
func TestSlowPieceIsOvertaken(t *testing.T) {
	t.Parallel()
	for each, overtaken := range map[time.Duration]bool{15 * time.Second: true, 300 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(30)
			slow, fast := &server{name: "slow", data: m.want, each: each, keep: true}, &server{name: "fast", data: m.want, each: 100 * time.Millisecond}
			begun := time.Now()
			_, err := Download(t.Context(), m, []Source{slow, fast}, options(m.Size()))
			took := time.Since(begun)
			if err != nil || !bytes.Equal(m.got, m.want) || took > 5*time.Second {
				t.Errorf("%v: complete %v after %v, %v", each, bytes.Equal(m.got, m.want), took, err)
			}
			if len(slow.failures) > 0 != overtaken || len(fast.failures) > 0 {
				t.Errorf("%v: failures %v and %v", each, slow.failures, fast.failures)
			}
			for _, err := range slow.failures {
				if !errors.Is(err, ErrSilent) {
					t.Errorf("%v: got %v", each, err)
				}
			}
			t.Logf("%v: %v", each, took)
		})
	}
}

// A source that sends all the time, but much more slowly than another one, is
// overtaken.
func TestTrickleIsOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(30)
		slow, fast := &server{name: "slow", data: m.want, drip: 250 * time.Millisecond, keep: true}, &server{name: "fast", data: m.want, each: 100 * time.Millisecond}
		begun := time.Now()
		_, err := Download(t.Context(), m, []Source{slow, fast}, options(m.Size()))
		if took := time.Since(begun); err != nil || !bytes.Equal(m.got, m.want) || took > 5*time.Second {
			t.Errorf("complete %v after %v, %v", bytes.Equal(m.got, m.want), took, err)
		}
		for _, err := range slow.failures {
			if !errors.Is(err, ErrOvertaken) {
				t.Errorf("got %v", err)
			}
		}
		if len(slow.failures) == 0 || len(fast.failures) > 0 {
			t.Errorf("failures %v and %v", slow.failures, fast.failures)
		}
	})
}

// Sources that all together are too slow are given up.
func TestNotEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(10)
		o := options(m.Size())
		o.Enough = func(n int64) bool { return n > 100<<10 }
		begun := time.Now()
		_, err := Download(t.Context(), m, []Source{&server{name: "a", data: m.want, each: 14 * time.Second}, &server{name: "b", data: m.want, each: 14 * time.Second}}, o)
		if took := time.Since(begun); err != nil || took > rateEvery || len(m.from) > 0 {
			t.Errorf("%d pieces after %v, %v", len(m.from), took, err)
		}
	})
}
