package pieces

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/peer"
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

// For how long a source may be silent before another one is asked for its piece, by how
// long that one usually takes.
func TestIsLate(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for usual, limit := range map[time.Duration]time.Duration{
		0:        firstSilence, // it is idle and has sent nothing yet
		100 * ms: silence,
		250 * ms: silence,
		400 * ms: 800 * ms,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPicker(10, func(int) bool { return false }, func() int { return 0 })
			slow, idle := &source{verified: true}, &source{verified: true}
			idle.took.Store(int64(usual))
			r, _ := p.pick(t.Context(), slow, []*source{slow, idle})
			late := func(after time.Duration) error {
				time.Sleep(after)
				p.mu.Lock()
				defer p.mu.Unlock()
				err := r.isLate(idle.usual())
				if p.overdue(r.piece, idle) != (err != nil) {
					t.Errorf("usually %v: overdue does not agree with %v", usual, err)
				}
				return err
			}
			if err := late(time.Minute); err != nil {
				t.Errorf("usually %v: before it is sent: %v", usual, err)
			}
			p.send(r)
			if err := late(limit); err != nil {
				t.Errorf("usually %v: after %v: %v", usual, limit, err)
			}
			if err := late(ms); !errors.Is(err, ErrSilent) {
				t.Errorf("usually %v: after more than %v: %v", usual, limit, err)
			}
			r.hear(peer.PieceSize) // not too slow
			if err := late(limit); err != nil {
				t.Errorf("usually %v: %v after it has sent: %v", usual, limit, err)
			}
			if err := late(ms); !errors.Is(err, ErrSilent) {
				t.Errorf("usually %v: more than %v after it has sent: %v", usual, limit, err)
			}
		})
	}
}

// partial is a server that is downloading the file itself.
type partial struct {
	*server
	after time.Duration // it says which pieces it has
	have  peer.Bitfield // nil: all
}

func (s partial) Verified() bool { return false }

func (s partial) Pieces(ctx context.Context) (peer.Bitfield, error) {
	time.Sleep(s.after)
	if s.have != nil {
		return s.have, nil
	}
	return s.server.Pieces(ctx)
}

// A source that is idle, as there are no more pieces than others were asked for, takes
// over from those that are silent before it has shown how fast it is.
func TestFirstSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := endgame + 1
		m := newMemory(n)
		var all []Source
		for i := range n { // each has one piece, so that none of them takes over from another
			have := peer.NewBitfield(n)
			have.Set(i)
			all = append(all, partial{&server{name: fmt.Sprint("silent", i), block: true}, 0, have})
		}
		idle := &server{name: "idle", data: m.want, each: 10 * time.Millisecond}
		begun := time.Now()
		_, err := Download(t.Context(), m, append(all, partial{idle, 100 * time.Millisecond, nil}), options(m.Size()))
		if took := time.Since(begun); err != nil || !bytes.Equal(m.got, m.want) || took < firstSilence || took > firstSilence+100*time.Millisecond {
			t.Errorf("complete %v after %v, %v", bytes.Equal(m.got, m.want), took, err)
		}
	})
}
