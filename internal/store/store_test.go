package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		large, err := digest.Parse(os.Args[1])
		if err != nil {
			panic(err)
		}
		crashChild(dir, large)
		return
	}
	goleak.VerifyTestMain(m)
}

// box is a store that can be closed and opened again on what it left.
type box struct {
	*Store
	t     testing.TB
	dir   string
	quota int64
	db    *kv.DB
}

func newBox(t testing.TB, quota int64) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), quota: quota}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *box) start() {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := kv.Open(filepath.Join(b.dir, "kv"), log)
	if err != nil {
		b.t.Fatal(err)
	}
	b.db = db
	b.Store, err = Open(Options{Dir: b.dir, Table: db.Table("blobs"), Quota: Quota{Bytes: b.quota}, Log: log})
	if err != nil {
		db.Close()
		b.t.Fatal(err)
	}
}

func (b *box) stop() {
	if err := errors.Join(b.Store.Close(), b.db.Close()); err != nil {
		b.t.Error(err)
	}
}

func (b *box) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

// content returns n bytes that depend on seed alone, and their digest.
func content(seed, n int) ([]byte, digest.Digest) {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b, digest.Of(b)
}

// put stores content(seed, n).
func (b *box) put(seed, n int) digest.Digest {
	b.t.Helper()
	data, d := content(seed, n)
	if err := b.Put(d, int64(n), bytes.NewReader(data), Meta{}); err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *box) holds(d digest.Digest) bool {
	_, err := b.Stat(d)
	return err == nil
}

func (b *box) wantHeld(what string, d digest.Digest, want bool) {
	b.t.Helper()
	if got := b.holds(d); got != want {
		b.t.Errorf("%s: held %t, want %t", what, got, want)
	}
}

// check compares counters, table and directory, which must say the same, and
// the content with the names. No Partial may be open.
func (b *box) check() {
	b.t.Helper()
	var disk Usage
	names, err := filepath.Glob(filepath.Join(b.dir, "blobs", "*", "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		d := digest.Of(data)
		if filepath.Base(name) != d.String() {
			b.t.Errorf("torn blob: %s has digest %s", name, d)
		}
		i, err := b.Stat(d)
		if err != nil || i.Size != int64(len(data)) {
			b.t.Errorf("blob %s of %d bytes: Stat says %+v, %v", d, len(data), i, err)
		}
		if i.Party != "" { // a small file counts for more there
			disk.Beside += max(leastWeight-i.Size, 0)
		}
		if i.Pinned {
			disk.Pinned += i.Size
		}
		disk.Blobs++
		disk.Bytes += int64(len(data))
	}
	parts, err := filepath.Glob(filepath.Join(b.dir, "partial", "*"+mapSuffix))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range parts {
		disk.Partial += readMap(name[:len(name)-len(mapSuffix)]).there.total()
	}
	disk.QuotaBytes, disk.LowMark = b.quota, b.Usage().LowMark
	if got := b.Usage(); got != disk {
		b.t.Errorf("Usage: got %+v, the disk has %+v", got, disk)
	}
	if got := b.count.unwritten; got != 0 {
		b.t.Errorf("%d bytes reserved for nobody", got)
	}
	b.checkIndex()
}

// checkIndex compares the indices of last uses and of names with the rows.
func (b *box) checkIndex() {
	b.t.Helper()
	want := make(map[string]bool)
	for i := range 256 {
		rows, err := b.rowsOf(byte(i))
		if err != nil {
			b.t.Fatal(err)
		}
		for d, r := range rows {
			if !r.pinned() {
				want[string(r.useKey(d))] = true
			}
			want[string(nameKey(r.name, d))] = true
		}
	}
	var err error
	for _, kind := range "uown" {
		err = errors.Join(err, b.table.Scan([]byte{byte(kind)}, nil, func(k, _ []byte) bool {
			if !want[string(k)] {
				b.t.Errorf("index: key %x without a row", k)
			}
			delete(want, string(k))
			return true
		}))
	}
	if err != nil || len(want) > 0 {
		b.t.Errorf("index: %d rows are not in it, error %v", len(want), err)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	pinned := b.put(2, 2000)
	if err := b.Pin(pinned, ByAdmin); err != nil {
		t.Fatal(err)
	}
	blob, err := b.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	before, _ := b.Stat(d)
	b.restart()
	if after, err := b.Stat(d); err != nil || !after.Used.Equal(before.Used) || after.Modified != before.Modified {
		t.Errorf("after a restart: got %+v, %v, want %+v", after, err, before)
	}
	if i, err := b.Stat(pinned); err != nil || !i.Pinned {
		t.Errorf("after a restart: got %+v, %v, want a pin", i, err)
	}
	if b.count.pinned != 2000 {
		t.Errorf("pinned bytes: got %d, want 2000", b.count.pinned)
	}
	b.check()
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	intact, lost, torn, gone := b.put(1, 1000), b.put(2, 1000), b.put(3, 1000), b.put(4, 1000)
	data, d := content(5, 200_000)
	p, err := b.Partial(d, 200_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data[:150_000], 0); err != nil {
		t.Fatal(err)
	}
	_, bare := content(6, 10)
	leftovers := []string{
		b.partialPath(bare),                     // bytes without a map
		b.partialPath(gone) + mapSuffix,         // a map without bytes
		b.partialPath(d) + mapSuffix + ".new",   // a map half written
		filepath.Join(b.partialDir(), "new-12"), // an unnamed one
	}
	r, err := b.row(lost)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		b.apply(change{lost, &r, nil}),
		os.Chmod(b.blobPath(torn), 0o644),
		os.Truncate(b.blobPath(torn), 500),
		os.Remove(b.blobPath(gone)),
		os.MkdirAll(b.fanOut(7), 0o755),
		os.WriteFile(filepath.Join(b.fanOut(7), "README"), nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range leftovers {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.restart() // Close closes p and keeps it
	b.wantHeld("intact", intact, true)
	b.wantHeld("lost row", lost, true)
	b.wantHeld("torn", torn, false)
	b.wantHeld("lost file", gone, false)
	for _, name := range leftovers {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("leftover %s is still there", filepath.Base(name))
		}
	}
	if got := b.Usage().Partial; got != 128<<10 {
		t.Errorf("idle partials: got %d bytes, want %d", got, 128<<10)
	}
	if err := os.Remove(filepath.Join(b.fanOut(7), "README")); err != nil {
		t.Errorf("a foreign file was removed: %v", err)
	}
	b.check()
}

// Without its database the store serves what it held.
func TestDatabaseLost(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	b.stop()
	if err := os.RemoveAll(filepath.Join(b.dir, "kv")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.wantHeld("blob", d, true)
	b.check()
}

func TestVanishedFile(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	if err := os.Remove(b.blobPath(d)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(d); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open: got %v, want fs.ErrNotExist", err)
	}
	b.put(1, 1000)
	b.check()
}

func TestVerifyRemovesRot(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	good, bad := b.put(1, 100_000), b.put(2, 100_000)
	rot(t, b.blobPath(bad))
	if err := b.Verify(t.Context(), good); err != nil {
		t.Errorf("a good blob: %v", err)
	}
	if err := b.Verify(t.Context(), bad); !errors.Is(err, ErrMismatch) {
		t.Errorf("a bad blob: got %v, want ErrMismatch", err)
	}
	b.wantHeld("bad blob", bad, false)
	b.check()
}

func rot(t *testing.T, name string) {
	t.Helper()
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("rot"), 50_000); err != nil {
		t.Fatal(err)
	}
}

// The scrub comes round to every blob, across a restart.
func TestScrub(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	var bad []digest.Digest
	for i := range 6 {
		d := b.put(i, 100_000)
		if i%2 == 0 {
			rot(t, b.blobPath(d))
			bad = append(bad, d)
		}
	}
	for i := range 6 {
		if i == 3 {
			b.restart()
		}
		if wait := b.scrubNext(t.Context(), nil); wait < time.Second || wait > scrubPass {
			t.Errorf("the scrub waits %v", wait)
		}
	}
	for _, d := range bad {
		b.wantHeld("bad blob", d, false)
	}
	if got := b.Usage().Blobs; got != 3 {
		t.Errorf("blobs: got %d, want the 3 good ones", got)
	}
	if wait := newBox(t, 1<<20).scrubNext(t.Context(), nil); wait != scrubIdle {
		t.Errorf("in an empty store the scrub waits %v, want %v", wait, scrubIdle)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	d := b.put(1, 10)
	blob, err := b.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	b.flushSoon <- struct{}{}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A flood of hits neither grows memory nor writes.
func TestUsesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	for i := range maxUses + 100 {
		b.note(digest.Digest{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if got := len(b.uses); got != maxUses {
		t.Errorf("uses in memory: got %d, want %d", got, maxUses)
	}
	if len(b.flushSoon) != 1 {
		t.Error("nobody was asked to flush")
	}
	if err := b.Flush(); err != nil || len(b.uses) != 0 {
		t.Errorf("flush: %d uses left, error %v", len(b.uses), err)
	}
}

func readBlob(s *Store, d digest.Digest) ([]byte, error) {
	blob, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}
