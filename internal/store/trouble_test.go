package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

// damage changes the file of a blob, which is read-only.
func (b *box) damage(d digest.Digest, change func(path string) error) {
	b.t.Helper()
	path := b.blobPath(d)
	if err := errors.Join(os.Chmod(path, 0o644), change(path)); err != nil {
		b.t.Fatal(err)
	}
}

func shorten(path string) error { return os.Truncate(path, 10) }

func flip(path string) error {
	data, err := os.ReadFile(path)
	if err == nil {
		data[len(data)/2] ^= 1
		err = os.WriteFile(path, data, 0o644)
	}
	return err
}

// A damaged blob is found as soon as it is opened, if its size shows it or it is hashed,
// and the file can be stored again.
func TestDamagedBlobIsNotHeld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		damage func(string) error
		open   func(*box, digest.Digest) (*Blob, error)
	}{
		"shortened": {shorten, func(b *box, d digest.Digest) (*Blob, error) { return b.Open(d) }},
		"longer": {func(path string) error { return os.Truncate(path, 1<<20) },
			func(b *box, d digest.Digest) (*Blob, error) { return b.Open(d) }},
		"changed": {flip, func(b *box, d digest.Digest) (*Blob, error) { return b.OpenVerified(b.t.Context(), d) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, 1<<30)
			d := b.put(1, 100_000)
			good, err := tt.open(b, d)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := good.Seek(0, 1); at != 0 || err != nil {
				t.Errorf("a good one is opened at %d, %v", at, err)
			}
			good.Close()
			b.damage(d, tt.damage)
			if _, err := tt.open(b, d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("opening it: %v, want that it is not held", err)
			}
			if _, err := b.Stat(d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after that: %v, want that it is not held", err)
			}
			if u, trouble := b.Usage(), b.Trouble(); u.Blobs != 0 || u.Bytes != 0 || trouble.Damaged != 1 {
				t.Errorf("usage %+v, trouble %+v", u, trouble)
			}
			b.put(1, 100_000)
			again, err := tt.open(b, d)
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
		})
	}
}

// Whichever directory is removed under the store, the next file is kept, and what was
// lost takes no room.
func TestDirectoriesRemoved(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]func(*box, digest.Digest) string{
		"blobs":   func(b *box, _ digest.Digest) string { return filepath.Join(b.dir, "blobs") },
		"one":     func(b *box, d digest.Digest) string { return b.fanOut(d[0]) },
		"partial": func(b *box, _ digest.Digest) string { return b.partialDir() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, 1<<30)
			d := b.put(1, 1000)
			if err := os.RemoveAll(dir(b, d)); err != nil {
				t.Fatal(err)
			}
			b.put(2, 1000)
			if _, err := b.Open(d); (err != nil) != (name != "partial") {
				t.Errorf("what was held: %v", err)
			}
			if again := b.put(1, 1000); again != d {
				t.Fatal("another file")
			}
			if b.Trouble().MissingAt.IsZero() || b.Err() != nil {
				t.Errorf("trouble: %+v", b.Trouble())
			}
		})
	}
	b := newBox(t, 1<<30)
	for i := range 300 {
		b.put(i, 1000)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	b.put(1000, 1000)
	select {
	case <-b.missing:
	default:
		t.Fatal("nothing looks for the other files")
	}
	b.forgetMissing(t.Context())
	if u := b.Usage(); u.Blobs != 1 || u.Bytes != 1000 || b.Trouble().Missing != 300 {
		t.Errorf("usage %+v, trouble %+v; want one blob, and 300 missing", u, b.Trouble())
	}
}

// A missing file that several notice at the same time is counted once.
func TestMissingIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	if err := os.Remove(b.blobPath(d)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.forget(d)
	}
	if n := b.Trouble().Missing; n != 1 {
		t.Errorf("%d files are missing, want 1", n)
	}
}

// Without its data directory, a store makes none: the disk may come back.
func TestDataDirectoryAway(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	away := b.dir + ".away"
	if err := os.Rename(b.dir, away); err != nil {
		t.Fatal(err)
	}
	_, err := b.Create(10)
	if err == nil || b.Err() == nil {
		t.Errorf("a file was begun: %v, %v", err, b.Err())
	}
	if err := os.Rename(away, b.dir); err != nil {
		t.Fatal(err)
	}
	if b.put(1, 10); b.Err() != nil {
		t.Errorf("with the disk back: %v", b.Err())
	}
}

// A file that met a disk without room for more files has a second try, once blobs have
// made way.
func TestInodesRunOut(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	for i := range 100 {
		b.put(i, 1000)
	}
	b.space = func() (disk.Space, error) {
		return disk.Space{Free: 1 << 40, Files: LeastFiles - 20 + 100 - b.Usage().Blobs}, nil
	}
	tries := 0
	err := b.makeFile(b.dir, func() error {
		if tries++; b.Usage().Blobs > 80 {
			return syscall.ENOSPC
		}
		return nil
	})
	if n := b.Usage().Blobs; err != nil || tries != 2 || n != 80 {
		t.Errorf("%v after %d tries, %d blobs are left", err, tries, n)
	}
	if err := b.makeFile(b.dir, func() error { return syscall.ENOSPC }); !errors.Is(err, ErrNoSpace) {
		t.Errorf("where there are enough: %v", err)
	}
	if n := b.Usage().Blobs; n != 80 {
		t.Errorf("where there are enough, %d blobs are left", n)
	}
}

// What is used much is verified soon, what is used little a day later.
func TestScrubFollowsUse(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	much, little, never := b.put(1, 1000), b.put(2, 1000), b.put(3, 1000)
	use := func(d digest.Digest, times int) {
		for range times {
			blob, err := b.Open(d)
			if err != nil {
				t.Fatal(err)
			}
			blob.Close()
		}
	}
	use(much, 100)
	use(little, 1)
	for _, d := range []digest.Digest{much, little, never} {
		b.damage(d, flip)
	}
	held := func(d digest.Digest) bool { _, err := b.Stat(d); return err == nil }
	for _, tt := range []struct {
		after        time.Duration
		much, little bool
	}{{time.Minute, true, true}, {time.Hour, false, true}, {25 * time.Hour, false, false}} {
		b.verifyUsed(t.Context(), time.Now().Add(tt.after), nil)
		if held(much) != tt.much || held(little) != tt.little || !held(never) {
			t.Errorf("after %v: held %v, %v and %v", tt.after, held(much), held(little), held(never))
		}
	}
	if len(b.inUse) != 0 {
		t.Errorf("%d blobs are to be verified again", len(b.inUse))
	}
}

// A file that somebody reads since it was a download is not evicted, as any other that
// is open.
func TestReadersOfDownloadsKeepBlobs(t *testing.T) {
	t.Parallel()
	b := newBox(t, 10_000)
	data, d := content(1, 6000)
	p, err := b.Partial(d, 6000)
	if err != nil {
		t.Fatal(err)
	}
	reader := p.Reader()
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Fatal(err)
	}
	later := p.Reader()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	reader.Close() // counts once
	if p, err := b.Create(6000); !errors.Is(err, ErrNoSpace) {
		t.Errorf("room was made of a blob that is read: %v", err)
		p.Discard()
	}
	if err := later.Close(); err != nil {
		t.Fatal(err)
	}
	b.put(2, 6000)
	if _, err := b.Stat(d); !errors.Is(err, fs.ErrNotExist) || len(b.open) != 0 {
		t.Errorf("it stayed, %v, and %d are open", err, len(b.open))
	}
}
