package store

import (
	"errors"
	"testing"

	"millpond/internal/digest"
)

// replace stores n bytes in the room that is free and that the blobs in old have.
func (b *box) replace(seed, n int, old ...digest.Digest) (digest.Digest, error) {
	b.t.Helper()
	data, d := content(seed, n)
	p, err := b.For("").PartialReplacing(d, int64(n), old)
	if err != nil {
		return d, err
	}
	defer p.Discard()
	if _, err := p.WriteAt(data, 0); err != nil {
		return d, err
	}
	_, err = p.Commit(Meta{})
	return d, err
}

// Only what is replaced goes, and no more of it than is needed.
func TestReplaced(t *testing.T) {
	t.Parallel()
	b := newBox(t, 6000)
	var d [6]digest.Digest
	for i := range d {
		d[i] = b.put(i, 1000)
	}
	if err := b.Pin(d[2], ByAdmin); err != nil {
		t.Fatal(err)
	}
	reading, err := b.hold(d[3])
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	_, absent := content(99, 10)

	if _, err := b.replace(10, 1000, d[2], d[3], absent); !errors.Is(err, ErrNoSpace) {
		t.Errorf("in place of what is pinned, open or not held: %v", err)
	}
	if _, err := b.replace(11, 2500, d[4], d[4], d[5]); !errors.Is(err, ErrNoSpace) {
		t.Errorf("in place of less: %v", err)
	}
	for i := range d {
		b.wantHeld("after two that found no room", d[i], true)
	}
	fresh, err := b.replace(12, 900, d[2], d[4], d[5])
	if err != nil {
		t.Fatal(err)
	}
	b.wantHeld("the new one", fresh, true)
	for i, want := range []bool{true, true, true, true, false, true} { // 0 was used longest ago
		b.wantHeld("blob "+string(rune('0'+i)), d[i], want)
	}
	b.check()
	if fresh, err = b.replace(13, 100, d[5]); err != nil {
		t.Fatal(err)
	}
	b.wantHeld("what fits", fresh, true)
	b.wantHeld("what need not go for it", d[5], true)
	b.check()
}

// The size of a file that comes with a login may show later.
func TestReplacedOnceTheSizeIsKnown(t *testing.T) {
	t.Parallel()
	b := newBox(t, 3000)
	kept, old := b.put(0, 1500), b.put(1, 1500)
	data, d := content(2, 1200)
	p, err := b.For("").CreateReplacing(d, -1, []digest.Digest{old})
	if err != nil {
		t.Fatal(err)
	}
	b.wantHeld("before the size is known", old, true)
	if err := p.SetSize(1200); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Fatal(err)
	}
	b.wantHeld("the new one", d, true)
	b.wantHeld("the old one", old, false)
	b.wantHeld("another one", kept, true)
	b.check()
}
