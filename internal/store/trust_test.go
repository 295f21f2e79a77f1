package store

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"millpond/internal/digest"
)

// bytesModel is what a Partial should have: plain bytes, and what each counts as.
type bytesModel struct {
	data           []byte
	there, trusted []bool
}

func (m *bytesModel) write(b []byte, off int64) {
	for i, c := range b {
		if at := off + int64(i); !m.there[at] {
			m.data[at], m.there[at] = c, true
		}
	}
}

func (m *bytesModel) writeTrusted(b []byte, off int64) (replaced bool) {
	for i, c := range b {
		at := off + int64(i)
		replaced = replaced || m.there[at] && !m.trusted[at] && m.data[at] != c
		if !m.trusted[at] {
			m.data[at], m.there[at], m.trusted[at] = c, true, true
		}
	}
	return replaced
}

func (m *bytesModel) trust(off, end int64) {
	for at := off; at < end; at++ {
		m.trusted[at] = m.there[at]
	}
}

func (m *bytesModel) forget(off, end int64) {
	for at := off; at < end; at++ {
		m.there[at] = m.trusted[at]
	}
}

// keepBlocks forgets what a map file cannot say.
func (m *bytesModel) keepBlocks() {
	for _, set := range [][]bool{m.there, m.trusted} {
		for off := 0; off < len(set); off += blockSize {
			if block := set[off:min(off+blockSize, len(set))]; slices.Contains(block, false) {
				clear(block)
			}
		}
	}
}

// rest returns how many bytes of set follow from off on.
func rest(set []bool, off int64) int64 {
	if n := slices.Index(set[off:], false); n >= 0 {
		return int64(n)
	}
	return int64(len(set)) - off
}

func (m *bytesModel) untrusted() spans {
	return runs(0, int64(len(m.there)), func(i int64) bool { return m.there[i] && !m.trusted[i] })
}

func (m *bytesModel) missing(off, end int64) spans {
	return runs(off, end, func(i int64) bool { return !m.there[i] })
}

// runs returns the bytes of [off, end) that are in.
func runs(off, end int64, in func(int64) bool) (s spans) {
	begun := int64(-1)
	for i := off; i < end; i++ {
		switch {
		case in(i) && begun < 0:
			begun = i
		case !in(i) && begun >= 0:
			s.add(begun, i)
			begun = -1
		}
	}
	if begun >= 0 {
		s.add(begun, end)
	}
	return s
}

func (m *bytesModel) compare(t *testing.T, step int, p *Partial, at int64) {
	t.Helper()
	if got, want := p.Available(at), rest(m.there, at); got != want {
		t.Fatalf("step %d: %d bytes are there at %d, want %d", step, got, at, want)
	}
	if got, want := p.Trusted(at), rest(m.trusted, at); got != want {
		t.Fatalf("step %d: %d bytes are trusted at %d, want %d", step, got, at, want)
	}
	got := make([]byte, p.Available(at))
	if _, err := p.readAt(p.file, got, at); err != nil {
		t.Fatalf("step %d: reading %d bytes at %d: %v", step, len(got), at, err)
	}
	if !bytes.Equal(got, m.data[at:][:len(got)]) {
		t.Fatalf("step %d: other bytes at %d", step, at)
	}
	if h, n := p.Hasher(); h.Digest() != digest.Of(m.data[:n]) {
		t.Fatalf("step %d: the running hash is not that of the first %d bytes", step, n)
	}
}

// TestTrustModel does random things to a Partial, of right and wrong bytes, and to the
// model. What is left must then be found right or wrong, and be mended.
func TestTrustModel(t *testing.T) {
	t.Parallel()
	chance := rand.Uint64()
	t.Log("chance:", chance)
	rnd := rand.New(rand.NewPCG(chance, 0))
	for range 4 {
		b := newBox(t, 1<<30)
		size := int64(4*blockSize + rnd.IntN(2*blockSize))
		data, d := content(1, int(size))
		wrong, _ := content(2, int(size))
		m := bytesModel{make([]byte, size), make([]bool, size), make([]bool, size)}
		p := b.partial(d, size)
		for step := range 60 {
			off := rnd.Int64N(size)
			end := min(off+rnd.Int64N(2*blockSize), size)
			from := data
			if rnd.IntN(4) == 0 {
				from = wrong
			}
			var err error
			switch op := rnd.IntN(20); {
			case op < 8:
				var got []Range
				got, err = p.Fill(from[off:end], off)
				if want := m.missing(off, end); !slices.Equal(got, want) {
					t.Fatalf("step %d: wrote %v, want %v", step, got, want)
				}
				m.write(from[off:end], off)
			case op < 12:
				var got bool
				got, err = p.WriteTrusted(data[off:end], off)
				if want := m.writeTrusted(data[off:end], off); got != want {
					t.Fatalf("step %d: replaced %t, want %t", step, got, want)
				}
			case op < 15:
				p.Trust(off, end)
				m.trust(off, end)
			case op < 19:
				_, err = p.Forget(off, end)
				m.forget(off, end)
			default:
				if !slices.Contains(m.there, true) {
					continue
				}
				b.restart()
				m.keepBlocks()
				p = b.partial(d, size)
			}
			if err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			m.compare(t, step, p, rnd.Int64N(size))
			if got, want := p.Untrusted(), m.untrusted(); !slices.Equal(got, want) {
				t.Fatalf("step %d: not trusted are %v, want %v", step, got, want)
			}
			if got, want := b.count.unwritten, size-p.there.total(); got != want {
				t.Fatalf("step %d: %d bytes count as not written, want %d", step, got, want)
			}
		}
		m.end(t, b, p, data)
	}
}

// end completes p and commits it. Wrong bytes that are not trusted are forgotten then,
// wrong ones that are have it discarded.
func (m *bytesModel) end(t *testing.T, b *box, p *Partial, data []byte) {
	t.Helper()
	for range 2 {
		for _, r := range p.Missing() {
			if _, err := p.WriteAt(data[r.Off:r.End], r.Off); err != nil {
				t.Fatal(err)
			}
			m.write(data[r.Off:r.End], r.Off)
		}
		_, err := p.Commit(Meta{})
		if right := bytes.Equal(m.data, data); right != (err == nil) || !right && !errors.Is(err, ErrMismatch) {
			t.Fatalf("Commit: got %v; the bytes are right: %t", err, right)
		}
		if err == nil {
			b.check()
			return
		}
		if _, err := p.Forget(0, p.Size()); err != nil {
			t.Fatal(err)
		}
		m.forget(0, p.Size())
	}
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	b.check()
}

// What readers are told is trusted stays what it is, whatever is written, trusted and
// forgotten at the same time.
func TestTrustedBytesStay(t *testing.T) {
	t.Parallel()
	const size, step = 2<<20 + 11, 50_000
	b := newBox(t, 1<<30)
	data, d := content(1, size)
	wrong, _ := content(2, size)
	p := b.partial(d, size)
	var writers, readers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for _, i := range rand.Perm(size / step) {
				off := int64(i * step)
				if _, err := p.WriteAt(wrong[off:off+step], off); err != nil {
					t.Error(err)
				}
				p.Hasher()
			}
		})
		writers.Go(func() {
			for _, i := range rand.Perm(size/step + 1) {
				off := int64(i * step)
				if _, err := p.WriteTrusted(data[off:min(off+2*step, size)], off); err != nil {
					t.Error(err)
				}
			}
		})
		writers.Go(func() {
			for range 20 {
				off := rand.Int64N(size)
				if _, err := p.Forget(off, off+4*step); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			r := p.Reader()
			defer r.Close()
			for off := int64(0); off < size; {
				got := make([]byte, p.Trusted(off))
				n, err := r.ReadAt(got, off)
				if err != nil || !bytes.Equal(got[:n], data[off:off+int64(n)]) {
					t.Errorf("%d wrong bytes at %d, %v", n, off, err)
					return
				}
				off += int64(n)
			}
		})
	}
	writers.Wait()
	readers.Wait()
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
	b.check()
}

// A trusted write that fails on the way trusts nothing, and what it had replaced by then
// is hashed again.
func TestTrustedWriteFails(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	data, d := content(1, 3*hashChunk)
	p := b.partial(d, 3*hashChunk)
	if _, err := p.WriteAt(make([]byte, 2*hashChunk), 0); err != nil {
		t.Fatal(err)
	}
	writes := 0
	b.fault = func(string) error {
		if writes++; writes == 3 {
			return errors.New("the disk is broken")
		}
		return nil
	}
	replaced, err := p.WriteTrusted(data, 0) // the hole, then chunk by chunk
	b.fault = func(string) error { return nil }
	if err == nil || !replaced || p.Trusted(0) != 0 {
		t.Errorf("got replaced %t, %v, and %d bytes trusted", replaced, err, p.Trusted(0))
	}
	if _, err := p.WriteTrusted(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
	b.check()
}

func TestTrustAfterEnd(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	_, d := content(1, 1000)
	p := b.partial(d, 1000)
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteTrusted([]byte("x"), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("WriteTrusted: got %v, want fs.ErrClosed", err)
	}
	if _, err := p.Forget(0, 1000); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Forget: got %v, want fs.ErrClosed", err)
	}
	b.check()
}
