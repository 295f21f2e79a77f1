package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"millpond/internal/digest"
)

// Sources that write one file at once, overlapping, some with wrong bytes for
// what others have written already, while clients read it as it grows.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	const size, piece = 3<<20 + 11, 100_000
	data, d := content(1, size)
	p, err := b.Partial(d, size)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for _, i := range rand.Perm(size/piece + 1) {
				off := max(i*piece-w*1000, 0)
				if _, err := p.WriteAt(data[off:min(off+piece+2000, size)], int64(off)); err != nil {
					t.Error(err)
				}
				_, _ = p.WriteAt(make([]byte, 10), int64(off+100)) // there already
				p.Hasher()
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			r := p.Reader()
			defer r.Close()
			got := make([]byte, 50_000)
			for off := 0; off < size; {
				n, err := r.ReadAt(got, int64(off))
				if !bytes.Equal(got[:n], data[off:off+n]) {
					t.Errorf("a client got %d wrong bytes at %d", n, off)
				}
				if off += n; err != nil && err != ErrAbsent && err != io.EOF {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
	b.check()
}

// An in-order download is hashed from memory, and wholly when its last byte is
// written: nothing is read back.
func TestHashingRunsAlong(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	data, d := content(1, 1<<20)
	p, err := b.Partial(d, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Discard()
	p.file.Close()
	if p.file, err = os.OpenFile(p.path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(data); off += 1 << 15 {
		if _, err := p.WriteAt(data[off:off+1<<15], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if h, n := p.Hasher(); n != 1<<20 || h.Digest() != d {
		t.Errorf("hashed %d bytes, want all %d", n, len(data))
	}
}

// A write into a file that has much to catch up with hashes a part of it only.
func TestHashingCatchesUp(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	const size, step = 5 << 20, 1 << 10
	data, d := content(1, size)
	p, err := b.Partial(d, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Range{{3 * step, size}, {2 * step, 3 * step}, {0, step}, {step, 2 * step}} {
		if _, err := p.WriteAt(data[r.Off:r.End], r.Off); err != nil {
			t.Fatal(err)
		}
	}
	if _, n := p.Hasher(); n < catchUp || n > catchUp+2*hashChunk {
		t.Errorf("hashed %d bytes, want about %d", n, catchUp)
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
}

// Many clients on a store that is too small: eviction must leave open blobs
// alone, and the books must be right in the end.
func TestBusy(t *testing.T) {
	t.Parallel()
	const blobs, size = 40, 5000
	b := newBox(t, 20*size)
	all := make([][]byte, blobs)
	names := make([]digest.Digest, blobs)
	for i := range all {
		all[i], names[i] = content(i, size)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 60 {
				i := rand.IntN(blobs)
				if err := b.Put(names[i], size, bytes.NewReader(all[i]), Meta{}); err != nil && !errors.Is(err, ErrNoSpace) && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				b.use(names[rand.IntN(blobs)])
				b.download(all[i], names[i])
			}
		})
	}
	wg.Go(func() {
		for range 30 {
			d := names[rand.IntN(blobs)]
			_ = b.Remove(d)
			_ = b.Pin(names[rand.IntN(4)], ByAdmin)
			_ = b.Unpin(names[rand.IntN(4)], ByAdmin)
			if err := b.Flush(); err != nil {
				t.Error(err)
			}
			_ = b.Verify(t.Context(), names[rand.IntN(blobs)])
		}
	})
	wg.Wait()
	if u := b.Usage(); u.Bytes+u.Partial > u.QuotaBytes {
		t.Errorf("over the quota: %+v", u)
	}
	b.check()
	b.restart()
	b.check()
}

// use reads a blob, if it is held.
func (b *box) use(d digest.Digest) {
	data, err := readBlob(b.Store, d)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && digest.Of(data) != d {
		b.t.Errorf("reading blob %s: %d bytes, %v", d.Short(), len(data), err)
	}
}

// download fills a Partial, if it can be had, and ends it in one of the ways.
func (b *box) download(data []byte, d digest.Digest) {
	p, err := b.Partial(d, int64(len(data)))
	if err != nil {
		return // busy, held, no room
	}
	for _, r := range p.Missing() {
		if _, err := p.WriteAt(data[r.Off:r.End], r.Off); err != nil {
			b.t.Error(err)
		}
	}
	switch rand.IntN(3) {
	case 0:
		err = p.Discard()
	case 1:
		err = p.Close()
	default:
		_, err = p.Commit(Meta{})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Error(err)
	}
}
