package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"millpond/internal/digest"
)

// putFor stores content(seed, n) that nobody vouches for.
func (b *box) putFor(party string, seed, n int) (digest.Digest, error) {
	data, d := content(seed, n)
	return d, b.Put(d, int64(n), bytes.NewReader(data), Meta{Party: party})
}

func (b *box) mustPutFor(party string, seed, n int) digest.Digest {
	b.t.Helper()
	d, err := b.putFor(party, seed, n)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

const unit = leastWeight

// What nobody vouches for takes the place of nothing signed, uses what is free, and
// beyond its share goes first when that is wanted.
func TestUnsignedNeverDisplacesSigned(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64*unit) // a share of 8
	var held []digest.Digest
	for i := range 40 {
		held = append(held, b.put(i, unit))
	}
	for i := range 100 { // room for 24
		b.mustPutFor("evil.example", 1000+i, unit)
	}
	if _, err := b.Create(65 * unit); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	for _, d := range held {
		b.wantHeld("signed", d, true)
	}
	b.restart()
	if got := b.count.shares.total; got != 24*unit {
		t.Errorf("%d bytes of nobody's are held, want %d", got, 24*unit)
	}
	for i := range 16 {
		held = append(held, b.put(100+i, unit))
	}
	for _, d := range held {
		b.wantHeld("signed", d, true)
	}
	if got := b.count.shares.total; got != 8*unit {
		t.Errorf("%d bytes of nobody's are held, want the share of %d", got, 8*unit)
	}
	b.put(200, unit)
	b.wantHeld("the signed one used longest ago", held[0], false)
	if got := b.count.shares.total; got != 8*unit {
		t.Errorf("%d bytes of nobody's are held, want the share of %d", got, 8*unit)
	}
	b.check()
}

// A party makes room among its own unless another has more, and files of a byte count
// for what they take.
func TestPartiesShareAlike(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64*unit)
	for i := range 56 {
		b.put(i, unit)
	}
	own := []digest.Digest{b.mustPutFor("own.example", 100, unit), b.mustPutFor("own.example", 101, unit)}
	for i := range 50 {
		b.mustPutFor("evil.example", 1000+i, unit)
	}
	for _, d := range own {
		b.wantHeld("the smaller party's", d, true)
	}
	own = append(own, b.mustPutFor("own.example", 102, unit)) // takes the place of one of the larger party's
	for i := range 30 {
		// Who comes when all have the same gets nothing.
		if _, err := b.putFor(fmt.Sprintf("evil%d.example", i), 2000+i, unit); err != nil && !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
	}
	if !b.holds(own[0]) && !b.holds(own[1]) && !b.holds(own[2]) {
		t.Error("a party has lost all that it had to parties that have more")
	}
	if b.count.shares.total > 8*unit {
		t.Errorf("%d bytes of nobody's", b.count.shares.total)
	}
	for i := range 1000 {
		if _, err := b.putFor("tiny.example", 3000+i, 1); err != nil && !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
	}
	if n := b.Usage().Blobs; n > 64 {
		t.Errorf("%d blobs, most of a byte", n)
	}
	b.check()
}

// What is still arriving has no more than the share: it could not be evicted for
// something signed.
func TestArrivingUnsignedIsBounded(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64*unit)
	p, err := b.For("evil.example").Create(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Discard()
	chunk := make([]byte, unit)
	for off := int64(0); ; off += unit {
		if _, err := p.WriteAt(chunk, off); errors.Is(err, ErrNoSpace) {
			if off != 8*unit {
				t.Errorf("%d bytes are written, want %d", off, 8*unit)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	held := b.put(1, 56*unit)
	b.wantHeld("signed", held, true)
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	if s := b.count.shares; s.total != 0 || s.open != 0 {
		t.Errorf("%d bytes are left, %d of them arriving", s.total, s.open)
	}
	// What was given up half-way goes before anything signed.
	q, err := b.For("evil.example").Partial(digest.Digest{1}, 8*unit)
	if err == nil {
		_, err = q.WriteAt(make([]byte, blockSize), 0)
	}
	if err == nil {
		err = q.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b.put(2, 8*unit)
	b.wantHeld("signed", held, true)
	b.wantIdle("given up", digest.Digest{1}, false)
}

// Bytes that come again with a signed list are nobody's share any more.
func TestVouchedForLater(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64*unit)
	d := b.mustPutFor("own.example", 1, unit)
	if i, err := b.Stat(d); err != nil || i.Party != "own.example" {
		t.Errorf("%+v, %v", i, err)
	}
	if err := b.Annotate(d, Meta{Pin: ByAdmin}); err != nil {
		t.Fatal(err)
	}
	if i, err := b.Stat(d); err != nil || i.Party != "own.example" {
		t.Errorf("a pin vouches for the content: %+v, %v", i, err)
	}
	b.put(1, unit)
	if i, err := b.Stat(d); err != nil || i.Party != "" || b.count.shares.total != 0 {
		t.Errorf("%+v, %v, %d bytes", i, err, b.count.shares.total)
	}
	b.check()
}

// What small files take counts as used: whoever fills free room only goes by that.
func TestSmallFilesInUsage(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64*unit)
	b.mustPutFor("evil.example", 1, 1)
	if u := b.Usage(); u.Bytes+u.Beside != unit {
		t.Errorf("%d bytes and %d beside, want %d in all", u.Bytes, u.Beside, unit)
	}
}
