package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"millpond/internal/digest"
)

// run runs housekeeping until the test ends.
func (b *box) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.keepHouse(ctx) }()
	b.t.Cleanup(func() { cancel(); <-done })
}

// rows enters n blobs of a size into the table, without files, each used a second after
// the one before it.
func (b *box) rows(n int, size int64, at time.Time) (all []digest.Digest) {
	b.t.Helper()
	var changes []change
	for i := range n {
		d := digest.Of([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		r := Meta{Name: "a.deb"}.row(size, at.Add(time.Duration(i)*time.Second))
		changes, all = append(changes, change{d, nil, &r}), append(all, d)
		b.count.add(r, 1)
	}
	b.meta.Lock()
	defer b.meta.Unlock()
	if err := b.apply(changes...); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// Beyond the high mark housekeeping evicts to the low mark, and requests go on meanwhile
// and find room.
func TestMarks(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	b := newBox(t, 1<<30)
	low, high := int64(1<<30)/lowMark, int64(1<<30)/lowMark/2
	all := b.rows(int((1<<30-high)/size), size, time.Now().Add(-24*time.Hour))
	if u := b.Usage(); u.LowMark != 1<<30-low || u.Bytes > 1<<30-high {
		t.Fatalf("%+v", u)
	}
	if _, err := b.PartialInFreeRoom(digest.Digest{1}, 1); !errors.Is(err, ErrNoSpace) {
		t.Errorf("what evicts nothing got room above the low mark: %v", err)
	}
	first := b.put(1, size)
	if len(b.evictSoon) != 1 {
		t.Error("housekeeping does not learn at once that little is free")
	}
	b.run()
	for deadline := time.Now().Add(10 * time.Second); b.Usage().Bytes > 1<<30-low; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not evicted to the low mark: %+v", b.Usage())
		}
	}
	if u := b.Usage(); u.Bytes < 1<<30-low-size {
		t.Errorf("evicted beyond the low mark: %+v", u)
	}
	b.wantHeld("first of the order", all[0], false)
	b.wantHeld("last of the order", all[len(all)-1], true)
	b.wantHeld("what a client requested", first, true)
	p, err := b.PartialInFreeRoom(digest.Digest{1}, 1)
	if err != nil {
		t.Fatalf("below the low mark: %v", err)
	}
	p.Discard()
}

// Nothing that is pinned, and nothing of the share of what nobody vouches for, goes for
// the marks.
func TestMarksLeavePinned(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	b := newBox(t, 1<<30)
	all := b.rows(99, size, time.Now())
	for _, d := range all {
		if err := b.Pin(d, ByAdmin); err != nil {
			t.Fatal(err)
		}
	}
	small := b.put(200, 1000)
	own := b.mustPutFor("own.example", 201, 1000)
	b.relieve()
	b.wantHeld("small file beside pinned ones", small, true)
	for _, d := range all[:50] {
		if err := b.Unpin(d, ByAdmin); err != nil {
			t.Fatal(err)
		}
	}
	b.relieve()
	b.wantHeld("what nobody vouches for", own, true)
	if u := b.Usage(); u.Bytes+u.Beside > u.LowMark {
		t.Errorf("not evicted to the low mark: %+v", u)
	}
}

// Without new files housekeeping looks every few seconds: others fill the quota, too.
func TestMarksOfOthers(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	all := b.rows(95, 10<<20, time.Now())
	b.measure = func() (int64, error) { return 70 << 20, nil }
	b.relieve()
	b.wantHeld("first of the order", all[0], false)
	if u := b.Usage(); u.Bytes+u.Beside > u.LowMark {
		t.Errorf("not evicted to the low mark: %+v", u)
	}
}
