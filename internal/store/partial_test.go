package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

func (b *box) partial(d digest.Digest, size int64) *Partial {
	b.t.Helper()
	p, err := b.Partial(d, size)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// finish fills the holes of p from data and commits it.
func (b *box) finish(p *Partial, data []byte) {
	b.t.Helper()
	for _, r := range p.Missing() {
		if _, err := p.WriteAt(data[r.Off:r.End], r.Off); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := p.Commit(Meta{}); err != nil {
		b.t.Error(err)
	}
	b.check()
}

// What was left of a file of another size is not resumed, nor is its map found
// after a crash.
func TestResumeAnotherSize(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"smaller": blockSize, "larger": 4 * blockSize} {
		b := newBox(t, 1<<30)
		data, d := content(1, size)
		p := b.partial(d, 3*blockSize)
		if _, err := p.WriteAt(make([]byte, 2*blockSize), 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		p = b.partial(d, int64(size))
		if p.Resumed() || p.Available(0) != 0 {
			t.Errorf("%s: resumed %t, %d bytes", name, p.Resumed(), p.Available(0))
		}
		if _, err := os.Stat(p.path + mapSuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the old map is still there", name)
		}
		b.finish(p, data)
	}
}

// After a crash the file may have bytes that the map does not know; after a
// power cut, the map bytes that the file lost.
func TestResumeMapAndFileDiffer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, want int64 }{
		"file ahead": {9 * blockSize, 2 * blockSize},
		"map ahead":  {blockSize + 5, blockSize + 5},
	} {
		b := newBox(t, 1<<30)
		data, d := content(1, 3*blockSize)
		p := b.partial(d, -1)
		if _, err := p.WriteAt(data[:2*blockSize], 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(b.partialPath(d), tt.file); err != nil {
			t.Fatal(err)
		}
		b.restart()
		p = b.partial(d, -1)
		if got := p.Available(0); got != tt.want || !p.Resumed() {
			t.Errorf("%s: resumed %t, %d bytes, want %d", name, p.Resumed(), got, tt.want)
		}
		if err := p.SetSize(3 * blockSize); err != nil {
			t.Error(err)
		}
		b.finish(p, data)
	}
}

// A resumed file whose old bytes are wrong fails as a whole, and says that it
// was resumed.
func TestResumeWrongBytes(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	data, d := content(1, 2*blockSize)
	p := b.partial(d, 2*blockSize)
	if _, err := p.WriteAt(make([]byte, blockSize), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = b.partial(d, 2*blockSize)
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{}); !errors.Is(err, ErrMismatch) || !p.Resumed() {
		t.Errorf("Commit: got %v, resumed %t; want ErrMismatch, true", err, p.Resumed())
	}
	if err := p.Discard(); err != nil {
		t.Error(err)
	}
	b.check()
	b.finish(b.partial(d, 2*blockSize), data)
}

// A blob that comes in by Put leaves no idle partial file of it behind.
func TestPutEndsIdle(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	data, d := content(1, 2*blockSize)
	p := b.partial(d, 2*blockSize)
	if _, err := p.WriteAt(data[:blockSize], 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(d, 2*blockSize, bytes.NewReader(data), Meta{}); err != nil {
		t.Fatal(err)
	}
	b.wantIdle("partial file of a held blob", d, false)
	b.check()
}

// Reader on a Partial that was given up must not open what the next Partial of
// the digest has not written yet.
func TestReaderAfterDiscard(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	data, d := content(1, 1000)
	p := b.partial(d, 1000)
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	next := b.partial(d, 1000)
	defer next.Discard()
	r := p.Reader()
	defer r.Close()
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ReadAt: got %d, %v, want fs.ErrClosed", n, err)
	}
}

// What open partials have reserved and not written counts as taken on the
// disk, and only once.
func TestReservedOnDisk(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	b.minFree = 1000
	free := int64(11_000)
	b.space = func() (disk.Space, error) { return disk.Space{Free: free, Files: 1 << 20}, nil }
	data, d := content(1, 8000)
	p := b.partial(d, 8000)
	if _, err := b.Create(3000); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Create beside a reservation: got %v, want ErrNoSpace", err)
	}
	if _, err := p.WriteAt(data[:6000], 0); err != nil {
		t.Fatal(err)
	}
	free -= 6000
	q, err := b.Create(2000)
	if err != nil {
		t.Error(err)
	} else if err := q.Discard(); err != nil {
		t.Error(err)
	}
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	b.check()
}

// A partial file has no map before it is due: most blobs are complete by then.
func TestMapIsNotWrittenAtOnce(t *testing.T) {
	t.Parallel()
	b := newBox(t, 64<<20)
	for seed := range 100 {
		data, d := content(seed, 200_000)
		begun := time.Now()
		p, err := b.Partial(d, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteAt(data[:100_000], 0); err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(p.path + mapSuffix)
		late := time.Since(begun) >= saveEvery
		if err := p.Discard(); err != nil {
			t.Fatal(err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if !late {
			t.Fatalf("a map was written at once: %v", err)
		}
	}
	t.Fatal("each write of 100 kB took a second")
}
