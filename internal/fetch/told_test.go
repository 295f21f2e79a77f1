package fetch

import (
	"errors"
	"testing"

	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// A client whose file no source has learns what the mirror failed with, and not what
// another box did that was asked after it.
func TestMirrorsFailureIsTold(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"hello": 70_000})
	gone := r.add(r.far, "hello", "gone", func(b *box) { b.dead.Store(true) })
	r.mirror.Down()
	_, err := r.compare("hello")
	var unreachable *mirror.UnreachableError
	var box *PeerError
	if !errors.As(err, &unreachable) || errors.As(err, &box) {
		t.Errorf("%v, want that the mirror is unreachable", err)
	}
	gone.mu.Lock()
	defer gone.mu.Unlock()
	if len(gone.opened) == 0 {
		t.Error("the other box was not asked")
	}
}

func TestMoreTelling(t *testing.T) {
	t.Parallel()
	box := &PeerError{peer.ErrStalled}
	broken, answer := errors.New("connection reset"), &mirror.StatusError{Code: 404}
	for _, tt := range []struct{ a, b, want error }{
		{nil, nil, nil}, {nil, box, box}, {box, nil, box},
		{box, broken, broken}, {broken, box, broken},
		{broken, answer, answer}, {answer, broken, answer}, {answer, box, answer},
	} {
		if got := moreTelling(tt.a, tt.b); got != tt.want {
			t.Errorf("of %v and %v %v is told, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
