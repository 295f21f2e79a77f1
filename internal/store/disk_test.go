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

// Whatever a disk refuses, the caller learns that the file cannot be kept, Err says why,
// and no longer once the disk is well.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "chmod", "name", "syncdir"} {
		b := newBox(t, 1<<20)
		failing := true
		b.fault = func(o string) error {
			if failing && o == op {
				return syscall.EIO
			}
			return nil
		}
		if _, err := b.putFor("", 1, 1000); !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.EIO) || !Unkept(err) {
			t.Errorf("%s: got %v, want ErrDisk and EIO", op, err)
		}
		left, err := filepath.Glob(b.dir + "/*/*/*")
		partial, e := filepath.Glob(b.partialDir() + "/*")
		if u := b.Usage(); errors.Join(err, e) != nil || len(left)+len(partial) > 0 || u.Bytes+u.Partial != 0 {
			t.Errorf("%s: files %v and %v are left, usage %+v", op, left, partial, u)
		}
		b.tryDisk()
		if err := b.Err(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: Err is %v on a failing disk", op, err)
		}
		failing = false
		b.tryDisk()
		if err := b.Err(); err != nil {
			t.Errorf("%s: Err is %v on a sound disk", op, err)
		}
	}
}

// A blob that cannot be read is not held, until its bytes come in again.
func TestUnreadableBlob(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<20)
	d, err := b.putFor("", 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	failing := true
	b.fault = func(op string) error {
		if failing && op == "read" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := b.Open(d); !errors.Is(err, ErrDisk) {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.Stat(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of an unreadable blob: %v", err)
	}
	failing = false
	if _, err := b.putFor("", 1, 1000); err != nil {
		t.Fatal(err)
	}
	blob, err := b.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	if u := b.Usage(); u.Blobs != 1 || u.Bytes != 1000 {
		t.Errorf("usage %+v", u)
	}
}

// The disk is out of files: blobs are evicted for that, and Err tells of it.
func TestFewFilesLeft(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<20)
	for i := range 10 {
		if _, err := b.putFor("", i, 1000); err != nil {
			t.Fatal(err)
		}
	}
	b.space = func() (disk.Space, error) { return disk.Space{Free: 1 << 40, Files: LeastFiles - 3}, nil }
	b.relieve()
	if n := b.Usage().Blobs; n != 7 {
		t.Errorf("%d blobs are left of 10, want 7", n)
	}
	b.space = func() (disk.Space, error) { return disk.Space{Free: 1 << 40, Files: 3}, nil }
	if err := b.Err(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Err with 3 files left: %v", err)
	}
}

// MakeRoom removes partial files, then the oldest blobs, and no more than is needed.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		at := time.Now().Add(-age)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, make([]byte, 1000), 0o444), os.Chtimes(path, at, at))
		if err != nil {
			t.Fatal(err)
		}
	}
	young, old := digest.Digest{7, 1}.String(), digest.Digest{7, 2}.String()
	write("partial/new-1", 0)
	write("blobs/07/"+young, time.Minute)
	write("blobs/07/"+old, time.Hour)
	c := clearing{dir: dir, free: 1 << 62}
	for _, d := range []string{"partial", "blobs/07"} {
		if removed, err := c.clear(filepath.Join(dir, d), turn); err != nil || !removed {
			t.Fatalf("%s: %v, %v", d, removed, err)
		}
	}
	for name, want := range map[string]bool{"partial/new-1": false, "blobs/07/" + old: false, "blobs/07/" + young: true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if freed, err := MakeRoom(dir, 1, 1); err != nil || freed != 0 {
		t.Errorf("MakeRoom where there is room: %d, %v", freed, err)
	}
	if freed, err := MakeRoom(dir, 1<<62, 1); err != nil || freed != 1000 {
		t.Errorf("MakeRoom: %d, %v", freed, err)
	}
}

// A blob that cannot be hashed is removed where the disk takes another copy of it. Where
// the disk does nothing, it stays, and is read again later.
func TestUnverifiableBlob(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		b := newBox(t, 1<<20)
		d, err := b.putFor("", 1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		failing := true
		b.fault = func(op string) error {
			if failing && (op == "hash" || away) && op != "read" {
				return syscall.EIO
			}
			return nil
		}
		want := fs.ErrNotExist
		if away {
			want = ErrDisk
		}
		if _, err := b.OpenVerified(t.Context(), d); !errors.Is(err, want) {
			t.Errorf("disk away %v: OpenVerified: %v, want %v", away, err, want)
		}
		if _, err := b.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("disk away %v: Stat: %v", away, err)
		}
		if there := b.Usage().Blobs == 1; there != away {
			t.Errorf("disk away %v: the blob is there: %v", away, there)
		}
		failing = false
		b.mu.Lock()
		for d := range b.lost {
			b.lost[d] = time.Now().Add(-lostFor)
		}
		b.mu.Unlock()
		blob, err := b.OpenVerified(t.Context(), d)
		if (err == nil) != away {
			t.Errorf("disk away %v, and back: %v", away, err)
		}
		if err == nil {
			blob.Close()
		}
	}
}

// A damaged blob whose file cannot be removed is not held either.
func TestDamagedBlobStays(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<20)
	d := b.put(1, 1000)
	b.damage(d, shorten)
	b.fault = func(op string) error {
		if op == "remove" {
			return syscall.EROFS
		}
		return nil
	}
	if _, err := b.Open(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.Stat(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
}

// What others can spare goes before any blob, and no blob if that is enough.
func TestSpareGoesFirst(t *testing.T) {
	t.Parallel()
	b := newBox(t, 10_000)
	for i := range 3 {
		b.put(i, 1000)
	}
	beside := int64(6000)
	b.measure = func() (int64, error) { return beside, nil }
	b.spare = func() (freed int64, err error) {
		freed, beside = beside, 0
		return freed, nil
	}
	b.relieve()
	if beside == 0 {
		t.Error("spared although there is room")
	}
	b.put(3, 4000)
	if u := b.Usage(); beside != 0 || u.Blobs != 4 || u.Beside != 0 {
		t.Errorf("beside are %d, usage %+v", beside, u)
	}
}

// A quota of the file system is lack of room, and one that is raised is noticed.
func TestQuotaOfTheFileSystem(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<20)
	full := true
	b.fault = func(op string) error {
		if full && op == "write" {
			return syscall.EDQUOT
		}
		return nil
	}
	if _, err := b.putFor("", 1, 1000); !errors.Is(err, ErrNoSpace) || !errors.Is(b.Err(), syscall.EDQUOT) {
		t.Errorf("got %v, and Err is %v", err, b.Err())
	}
	full = false
	b.tryDisk()
	if b.put(1, 1000); b.Err() != nil {
		t.Errorf("with room: %v", b.Err())
	}
}

// What can be held is the quota, or what the disk has room for.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := newBox(t, 100_000)
	b.put(1, 1000)
	for free, want := range map[int64]int64{b.minFree + 99_000: 100_000, b.minFree + 50_000: 51_000, b.minFree: 1000, 0: max(1000-b.minFree, 0)} {
		b.space = func() (disk.Space, error) { return disk.Space{Total: 1 << 40, Free: free, Files: 1 << 20}, nil }
		if got, err := b.Limit(); err != nil || got != (Limit{Bytes: want, Disk: 1 << 40, Free: free}) {
			t.Errorf("with %d bytes free: %+v, %v, want %d", free, got, err, want)
		}
	}
}
