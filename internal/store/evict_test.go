package store

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

func TestEvictLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	b := newBox(t, 5000)
	var d [8]digest.Digest
	for i := range 5 {
		d[i] = b.put(i, 1000)
	}
	if err := b.Pin(d[0], ByAdmin); err != nil {
		t.Fatal(err)
	}
	reading, err := b.Open(d[1])
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	if used, err := b.Open(d[2]); err != nil {
		t.Fatal(err)
	} else {
		used.Close()
	}
	d[5] = b.put(5, 1000)
	b.wantHeld("least recently used", d[3], false)
	d[6] = b.put(6, 1500)
	for i, want := range []bool{true, true, false, false, false, true, true} {
		b.wantHeld("blob "+string(rune('0'+i)), d[i], want)
	}
	b.check()
}

// An open blob stays however old, and is evicted once it is closed: the position
// where eviction begins must not have passed it.
func TestEvictAfterClose(t *testing.T) {
	t.Parallel()
	b := newBox(t, 3000)
	old := b.put(0, 1000)
	blob, err := b.hold(old) // a reader that began long before the others
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 10; i++ {
		b.put(i, 1000)
		b.wantHeld("open blob", old, true)
	}
	blob.Close()
	b.put(10, 1000)
	b.wantHeld("closed blob", old, false)
	b.check()
}

func TestUnpinnedIsEvictable(t *testing.T) {
	t.Parallel()
	b := newBox(t, 3000)
	old := b.put(0, 1000)
	if err := b.Pin(old, ByAdmin); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 10; i++ {
		b.put(i, 1000)
	}
	b.wantHeld("pinned blob", old, true)
	if err := b.Unpin(old, ByAdmin); err != nil {
		t.Fatal(err)
	}
	b.put(10, 1000)
	b.wantHeld("unpinned blob", old, false)
	b.check()
}

// What cannot fit evicts nothing.
func TestNoSpaceEvictsNothing(t *testing.T) {
	t.Parallel()
	b := newBox(t, 5000)
	kept, pinned := b.put(1, 2000), b.put(2, 2000)
	if err := b.Pin(pinned, ByAdmin); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{5001, 3001} {
		if _, err := b.Partial(digest.Digest{1}, size); !errors.Is(err, ErrNoSpace) {
			t.Errorf("Partial of %d bytes: got %v, want ErrNoSpace", size, err)
		}
		if _, err := b.Create(size); !errors.Is(err, ErrNoSpace) {
			t.Errorf("Create of %d bytes: got %v, want ErrNoSpace", size, err)
		}
	}
	b.wantHeld("blob", kept, true)
	b.check()
}

// idleAt leaves a partial file of one block, idle since at.
func (b *box) idleAt(seed int, at time.Time) digest.Digest {
	b.t.Helper()
	data, d := content(seed, blockSize+1)
	p, err := b.Partial(d, int64(len(data)))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := p.WriteAt(data[:blockSize], 0); err != nil {
		b.t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.idle[d] = idle{bytes: blockSize, used: at}
	b.mu.Unlock()
	return d
}

func (b *box) wantIdle(what string, d digest.Digest, want bool) {
	b.t.Helper()
	_, err := os.Stat(b.partialPath(d))
	if got := err == nil; got != want {
		b.t.Errorf("%s: kept %t, want %t", what, got, want)
	}
}

func TestEvictIdlePartials(t *testing.T) {
	t.Parallel()
	b := newBox(t, 10*blockSize)
	now := time.Now()
	blob := b.put(1, 4*blockSize)
	stale := b.idleAt(2, now.Add(-25*time.Hour))
	older := b.idleAt(3, now.Add(-time.Hour))
	young := b.idleAt(4, now.Add(time.Hour))
	b.put(5, 4*blockSize) // one too many
	b.wantIdle("stale", stale, false)
	b.wantIdle("older than the blob", older, true)
	b.put(6, 2*blockSize)
	b.wantIdle("older than the blob", older, false)
	b.wantHeld("blob", blob, false)
	b.wantIdle("younger than the blob", young, true)
	b.check()
}

func TestSweepIdle(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	now := time.Now()
	old, young := b.idleAt(1, now.Add(-maxIdleAge-time.Hour)), b.idleAt(2, now)
	data, d := content(3, 1000)
	p, err := b.Partial(d, 1000) // in use: not idle
	if err != nil {
		t.Fatal(err)
	}
	b.sweepIdle(now.Add(-maxIdleAge))
	b.wantIdle("old", old, false)
	b.wantIdle("young", young, true)
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(Meta{Modified: now}); err != nil {
		t.Error(err)
	}
	b.check()
}

// What others keep in the quota takes the place of blobs.
func TestOthersInTheQuota(t *testing.T) {
	t.Parallel()
	b := newBox(t, 5000)
	beside := int64(0)
	b.measure = func() (int64, error) { return beside, nil }
	first, second := b.put(1, 2000), b.put(2, 2000)
	b.relieve()
	b.wantHeld("with room", first, true)
	beside = 2500
	b.relieve()
	b.wantHeld("least recently used", first, false)
	b.wantHeld("most recently used", second, true)
	if _, err := b.Create(3000); !errors.Is(err, ErrNoSpace) || b.Usage().Beside != 2500 {
		t.Errorf("got %v, want ErrNoSpace; %+v", err, b.Usage())
	}
}

// Others fill the disk: the store makes room although its quota is not
// reached, and in the end refuses to write rather than to fill the disk.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	b.minFree = 10_000
	free := int64(20_000)
	b.space = func() (disk.Space, error) { return disk.Space{Free: free, Files: 1 << 20}, nil }
	first, second := b.put(1, 4000), b.put(2, 4000)
	b.relieve()
	b.wantHeld("with room", first, true)
	free = 9000
	b.relieve()
	b.wantHeld("least recently used", first, false)
	b.wantHeld("most recently used", second, true)
	free = 12_000
	p, err := b.Partial(digest.Digest{1}, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Discard()
	if q, err := b.Create(100); err != nil {
		t.Error(err) // took the place of the second blob
	} else {
		defer q.Discard()
	}
	b.wantHeld("room for two", second, false)
	free = 5000
	if _, err := p.WriteAt(make([]byte, 1000), 0); !errors.Is(err, ErrNoSpace) {
		t.Errorf("WriteAt on a nearly full disk: got %v, want ErrNoSpace", err)
	}
}

// The free space is measured once a second while there is plenty, and for each
// write when there is not: others may fill the disk meanwhile, and what is
// written here counts at once.
func TestFreeSpaceIsMeasuredSeldom(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	b.minFree = 1 << 20
	free, asked := int64(16<<20), 0
	b.space = func() (disk.Space, error) { asked++; return disk.Space{Free: free, Files: 1 << 20}, nil }
	write := func(n int) error { return b.mayWrite(n) }
	for range 64 {
		if err := write(128 << 10); err != nil {
			t.Fatal(err)
		}
	}
	if asked > 2 { // and once more if this took a second
		t.Errorf("the free space was measured %d times for 64 writes", asked)
	}
	b.room.at = b.room.at.Add(-measureEvery)
	if _ = write(1); asked < 2 {
		t.Error("not measured again after a second")
	}
	// Others leave less than the measurement says.
	free, asked = 16<<20, 0
	b.room.at = time.Time{}
	_ = write(0)
	free = 3 << 19 // 1.5 MiB
	for range 15 << 3 {
		_ = write(128 << 10)
	}
	if asked < 2 {
		t.Error("writes up to the measurement did not measure anew")
	}
	for i := range 10 {
		free = 1<<20 - int64(i)*64<<10
		if err, ok := write(64<<10), free-64<<10 >= 1<<19; (err == nil) != ok {
			t.Errorf("with %d bytes free: %v", free, err)
		}
	}
}

// The disk itself says that it is full.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"write", "sync"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, 1<<30)
			data, d := content(1, 2*blockSize)
			p, err := b.Partial(d, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.WriteAt(data[:blockSize], 0); err != nil {
				t.Fatal(err)
			}
			reader := p.Reader()
			defer reader.Close()
			b.fault = func(at string) error {
				if at == op {
					return syscall.ENOSPC
				}
				return nil
			}
			_, err = p.WriteAt(data[blockSize:], blockSize)
			if err == nil {
				_, err = p.Commit(Meta{})
			}
			if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v, want ErrNoSpace and ENOSPC", err)
			}
			if n, err := reader.ReadAt(make([]byte, blockSize), 0); n != blockSize || err != nil {
				t.Errorf("what was written: read %d bytes, %v", n, err)
			}
			if h, n := p.Hasher(); n < blockSize || n == blockSize && h.Digest() != digest.Of(data[:blockSize]) {
				t.Errorf("the running hash has seen %d bytes", n)
			}
			p.Discard()
			b.fault = func(string) error { return nil }
			b.check()
			b.put(1, 2*blockSize)
			b.check()
		})
	}
}

// A partial in free room takes what is free and evicts nothing, whatever its size
// turns out to be.
func TestFreeRoomOnly(t *testing.T) {
	t.Parallel()
	b := newBox(t, 3000)
	old := b.put(0, 2000)
	data, d := content(1, 1500)
	if _, err := b.PartialInFreeRoom(d, 1500); !errors.Is(err, ErrNoSpace) {
		t.Errorf("1500 of 1000 bytes: %v", err)
	}
	p, err := b.PartialInFreeRoom(d, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data[:1000], 0); err != nil {
		t.Error(err)
	}
	if err := p.SetSize(1500); !errors.Is(err, ErrNoSpace) {
		t.Errorf("500 bytes more: %v", err)
	}
	if err := p.Discard(); err != nil {
		t.Error(err)
	}
	b.wantHeld("what was there", old, true)
	small, d := content(2, 1000)
	if p, err = b.PartialInFreeRoom(d, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(small, 0); err != nil {
		t.Error(err)
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
	b.wantHeld("what fits", d, true)
	b.wantHeld("what was there", old, true)
	b.check()
}

// What no Release lists any more goes first, also for what nobody vouches for within
// its share; listed again it stays.
func TestUnlistedGoesFirst(t *testing.T) {
	t.Parallel()
	b := newBox(t, 32*unit)
	var d []digest.Digest
	for i := range 32 {
		d = append(d, b.put(i, unit))
	}
	for i, listed := range map[int]bool{20: false, 21: false, 22: false, 23: false} {
		if err := b.Listed(d[i], listed); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := b.Stat(d[20]); err != nil || !i.Unlisted {
		t.Errorf("%+v, %v", i, err)
	}
	if err := b.Listed(d[23], true); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.put(100, unit)
	b.wantHeld("unlisted", d[20], false)
	party := b.mustPutFor("own.example", 101, unit)
	b.wantHeld("unlisted", d[21], false)
	if err := b.Listed(party, false); err != nil {
		t.Fatal(err)
	}
	if i, err := b.Stat(party); err != nil || i.Unlisted || i.Party == "" {
		t.Errorf("what nobody vouched for became %+v, %v", i, err)
	}
	if err := b.Listed(party, true); err != nil {
		t.Fatal(err)
	}
	b.put(102, unit)
	b.wantHeld("unlisted", d[22], false)
	if _, err := b.putFor("evil.example", 103, unit); !errors.Is(err, ErrNoSpace) {
		t.Errorf("among listed blobs only: got %v, want ErrNoSpace", err)
	}
	for i, d := range d {
		b.wantHeld("listed", d, i < 20 || i > 22)
	}
	b.check()
}
