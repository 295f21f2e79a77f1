package recent

import (
	"errors"
	"testing"
)

// looker counts what is looked up.
type looker struct {
	m       *Map[int, int]
	lookUps int
}

func (l *looker) get(t *testing.T, k int) int {
	t.Helper()
	v, err := l.m.Get(k, func() (int, error) { l.lookUps++; return 10 * k, nil })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLooksUpOnce(t *testing.T) {
	t.Parallel()
	l := looker{m: New[int, int](10)}
	for range 3 {
		if v := l.get(t, 1); v != 10 {
			t.Fatal(v)
		}
	}
	if l.lookUps != 1 {
		t.Errorf("%d look-ups of one value", l.lookUps)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	l := looker{m: New[int, int](10)}
	for k := range 1000 {
		l.get(t, k)
		l.get(t, 0)
		if n := len(l.m.young) + len(l.m.old); n > 10 {
			t.Fatalf("%d values are kept", n)
		}
	}
	if l.lookUps != 1000 {
		t.Errorf("%d look-ups: what was used all the time is forgotten", l.lookUps)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	l := looker{m: New[int, int](10)}
	boom := errors.New("boom")
	if _, err := l.m.Get(1, func() (int, error) { return 0, boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if v := l.get(t, 1); v != 10 || l.lookUps != 1 {
		t.Error(v, l.lookUps)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	l := looker{m: New[int, int](2)}
	l.get(t, 1)
	l.get(t, 2) // 1 is old
	l.m.Delete(1)
	l.m.Delete(2)
	l.get(t, 1)
	l.get(t, 2)
	if l.lookUps != 4 {
		t.Errorf("%d look-ups, want 4", l.lookUps)
	}
}

// What was read before a change, and comes after it, is not kept.
func TestDeleteDuringALookUp(t *testing.T) {
	t.Parallel()
	l := looker{m: New[int, int](10)}
	v, err := l.m.Get(1, func() (int, error) {
		l.m.Delete(1)
		return 5, nil
	})
	if v != 5 || err != nil {
		t.Fatal(v, err)
	}
	if v := l.get(t, 1); v != 10 {
		t.Errorf("got %d, as it was before the change", v)
	}
}
