package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A pin is released by its owner alone, across a restart, and by each owner
// under its whole name.
func TestPinOwners(t *testing.T) {
	t.Parallel()
	b := newBox(t, 3000)
	d := b.put(0, 1000)
	long := strings.Repeat("x", 2*maxName)
	owners := []string{ByAdmin, "release http://a/dists/stable", "release http://a/dists/trixie", long + "1", long + "2"}
	for _, owner := range owners {
		if err := b.Pin(d, owner); err != nil {
			t.Fatal(err)
		}
	}
	for i, owner := range owners {
		b.restart()
		if got, err := b.Stat(d); err != nil || !got.Pinned || len(got.Pins) != len(owners)-i || !slices.IsSorted(got.Pins) {
			t.Errorf("with %d owners: %+v, %v", len(owners)-i, got, err)
		}
		if b.count.pinned != 1000 {
			t.Errorf("with %d owners: %d bytes pinned", len(owners)-i, b.count.pinned)
		}
		if err := b.Unpin(d, owner); err != nil {
			t.Error(err)
		}
	}
	if got, err := b.Stat(d); err != nil || got.Pinned || len(got.Pins) != 0 || b.count.pinned != 0 {
		t.Errorf("without owners: %+v, %v, %d bytes pinned", got, err, b.count.pinned)
	}
	b.check()
}

// A blob has so many owners and no more. One that was refused changes nothing.
func TestPinsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(0, 1000)
	for i := range maxPins {
		if err := b.Pin(d, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Pin(d, "one more"); !errors.Is(err, ErrTooManyPins) {
		t.Errorf("one more: %v", err)
	}
	if err := b.Pin(d, "0"); err != nil {
		t.Errorf("again: %v", err)
	}
	data, _ := content(0, 1000)
	p, err := b.Create(1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{Pin: "one more"}); !errors.Is(err, ErrTooManyPins) {
		t.Errorf("committed again: %v", err)
	}
	if i, err := b.Stat(d); err != nil || len(i.Pins) != maxPins {
		t.Errorf("%d pins, %v", len(i.Pins), err)
	}
	b.check()
}
