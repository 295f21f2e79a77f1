package fetch

import (
	"math/rand/v2"
	"testing"

	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// Spans are compared with a byte of origin for each byte of the file.
func TestAttributionProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 2))
		const size = 60
		var a attribution
		var model [size]ledger.Origin
		var known [size]bool
		for range r.IntN(30) {
			off := r.Int64N(size)
			origin := ledger.Origin(r.IntN(3))
			n := span{off, off + r.Int64N(size-off+1), origin, origin.String()}
			a.wrote(n.off, n.end, n.origin, n.source)
			for i := n.off; i < n.end; i++ {
				if !known[i] {
					known[i], model[i] = true, n.origin
				}
			}
			if r.IntN(4) == 0 {
				a.forgot(off, off+2)
				clear(known[off:min(off+2, size)])
			}
		}
		for i := range int64(size) {
			if n, o := a.next(i, 1); (n == 1) != known[i] || n == 1 && o != model[i] {
				t.Fatalf("seed %d: byte %d is of %v (%v), want %v (%v)", seed, i, o, n, model[i], known[i])
			}
		}
		sent := a.senders()
		for i, origin := range model {
			if known[i] {
				sent[origin.String()]--
			}
		}
		for name, n := range sent {
			if n != 0 {
				t.Fatalf("seed %d: %d bytes of %s too many", seed, n, name)
			}
		}
		for k, s := range a.spans {
			if s.off >= s.end || k > 0 && a.spans[k-1].end > s.off {
				t.Fatalf("seed %d: %v is not ascending", seed, a.spans)
			}
		}
	}
}

// A byte counts as its sender's once, then as the store's.
func TestAttributedOnce(t *testing.T) {
	t.Parallel()
	var a attribution
	a.wrote(0, 10, ledger.FromPeer, "a")
	a.wrote(10, 30, ledger.FromMirror, "b")
	for _, want := range []struct {
		off, n int64
		origin ledger.Origin
	}{{0, 10, ledger.FromPeer}, {0, 10, ledger.FromStore}, {10, 20, ledger.FromMirror}, {0, 30, ledger.FromStore}} {
		n, origin := a.next(want.off, 100)
		if n != want.n || origin != want.origin {
			t.Errorf("at %d: %d bytes from %v, want %d from %v", want.off, n, origin, want.n, want.origin)
		}
		a.delivered(want.off + n)
	}
	if _, ok := a.handOver(); ok {
		t.Error("a file that was read is handed over")
	}
}

// A full table forgets the oldest file, not all of them.
func TestUnreadForgetsTheOldest(t *testing.T) {
	t.Parallel()
	u := newUnread(100)
	d := func(i int) digest.Digest { return digest.Of([]byte{byte(i)}) }
	for i := range 150 {
		u.add(d(i), ledger.FromMirror)
	}
	u.add(d(149), ledger.FromPeer) // again
	for i := range 150 {
		origin, ok := u.take(d(i))
		if ok != (i >= 50) || ok && (origin == ledger.FromPeer) != (i == 149) {
			t.Errorf("file %d: %v, %v", i, origin, ok)
		}
		if _, again := u.take(d(i)); again {
			t.Errorf("file %d is attributed twice", i)
		}
	}
	if u.oldest.Len() != 0 {
		t.Errorf("%d files are left", u.oldest.Len())
	}
}
