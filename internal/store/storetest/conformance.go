package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// Bytes returns n bytes that depend on seed alone, and their digest.
func Bytes(seed uint64, n int) ([]byte, digest.Digest) {
	var key [32]byte
	key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b, digest.Of(b)
}

// Conformance tests the contract of a store, on stores that open returns: they
// must be empty and have room for 10 MB.
func Conformance(t *testing.T, open func(testing.TB) *store.Store) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"not held":         notHeld,
		"put and open":     putAndOpen,
		"put refuses":      putRefuses,
		"remove":           remove,
		"pin":              pin,
		"put with meta":    putMeta,
		"names":            names,
		"out of order":     outOfOrder,
		"wrong bytes":      wrongBytes,
		"resume":           resume,
		"unknown size":     unknownSize,
		"unnamed":          unnamed,
		"one writer":       oneWriter,
		"first bytes stay": firstBytesStay,
		"readers go on":    readersGoOn,
		"readers outlive":  readersOutlive,
		"watch":            watch,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantBlob checks that d is held and has bytes b.
func wantBlob(t *testing.T, s *store.Store, d digest.Digest, b []byte) {
	t.Helper()
	blob, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	got, err := io.ReadAll(blob)
	if err != nil || !bytes.Equal(got, b) || blob.Info().Size != int64(len(b)) || blob.Info().Digest != d {
		t.Errorf("blob %s: got %d bytes, info %+v, error %v; want %d bytes", d.Short(), len(got), blob.Info(), err, len(b))
	}
}

func wantUsage(t *testing.T, s *store.Store, blobs, size, partial int64) {
	t.Helper()
	u := s.Usage()
	if u.Blobs != blobs || u.Bytes != size || u.Partial != partial {
		t.Errorf("usage: got %+v, want %d blobs of %d bytes and %d of partials", u, blobs, size, partial)
	}
}

func write(t *testing.T, p *store.Partial, b []byte, off, end int) {
	t.Helper()
	if n, err := p.WriteAt(b[off:end], int64(off)); err != nil || n != end-off {
		t.Fatalf("WriteAt [%d, %d): got %d, %v", off, end, n, err)
	}
}

func notHeld(t *testing.T, s *store.Store) {
	_, d := Bytes(1, 10)
	_, err := s.Open(d)
	wantErr(t, "Open", err, fs.ErrNotExist)
	_, err = s.Stat(d)
	wantErr(t, "Stat", err, fs.ErrNotExist)
	wantErr(t, "Remove", s.Remove(d), fs.ErrNotExist)
	wantErr(t, "Pin", s.Pin(d, store.ByAdmin), fs.ErrNotExist)
	wantErr(t, "Unpin", s.Unpin(d, store.ByAdmin), fs.ErrNotExist)
	wantErr(t, "Verify", s.Verify(context.Background(), d), fs.ErrNotExist)
}

func putAndOpen(t *testing.T, s *store.Store) {
	var total int64
	for i, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 3 << 20} {
		b, d := Bytes(uint64(i), n)
		must(t, s.Put(d, int64(n), bytes.NewReader(b), store.Meta{}))
		must(t, s.Put(d, int64(n), nil, store.Meta{})) // held: not read
		wantBlob(t, s, d, b)
		must(t, s.Verify(context.Background(), d))
		total += int64(n)
	}
	wantUsage(t, s, 5, total, 0)
	var last digest.Digest
	n := 0
	for i, err := range s.All() {
		must(t, err)
		if n++; bytes.Compare(last[:], i.Digest[:]) > 0 {
			t.Errorf("All: %s comes after %s", i.Digest, last)
		}
		last = i.Digest
	}
	if n != 5 {
		t.Errorf("All: got %d blobs, want 5", n)
	}
}

func putRefuses(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 1000)
	wrong, _ := Bytes(2, 1000)
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		size int64
		r    io.Reader
		want error
	}{
		"other bytes": {1000, bytes.NewReader(wrong), store.ErrMismatch},
		"too few":     {1000, bytes.NewReader(b[:999]), store.ErrMismatch},
		"too many":    {1000, io.MultiReader(bytes.NewReader(b), bytes.NewReader(b)), store.ErrMismatch},
		"read error":  {1000, io.MultiReader(bytes.NewReader(b[:10]), &broke{broken}), broken},
		"too large":   {s.Usage().QuotaBytes + 1, bytes.NewReader(b), store.ErrNoSpace},
	} {
		wantErr(t, name, s.Put(d, tt.size, tt.r, store.Meta{}), tt.want)
	}
	_, err := s.Stat(d)
	wantErr(t, "Stat", err, fs.ErrNotExist)
	wantUsage(t, s, 0, 0, 0)
}

type broke struct{ err error }

func (b *broke) Read([]byte) (int, error) { return 0, b.err }

func remove(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 1000)
	must(t, s.Put(d, 1000, bytes.NewReader(b), store.Meta{}))
	must(t, s.Pin(d, store.ByAdmin))
	blob, err := s.Open(d)
	must(t, err)
	defer blob.Close()
	must(t, s.Remove(d))
	_, err = s.Open(d)
	wantErr(t, "Open", err, fs.ErrNotExist)
	if got, err := io.ReadAll(blob); err != nil || !bytes.Equal(got, b) {
		t.Errorf("an open blob after Remove: got %d bytes, %v", len(got), err)
	}
	wantUsage(t, s, 0, 0, 0)
	must(t, s.Put(d, 1000, bytes.NewReader(b), store.Meta{}))
	wantBlob(t, s, d, b)
}

func outOfOrder(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 1<<20)
	p, err := s.Partial(d, 1<<20)
	must(t, err)
	defer p.Discard()
	wantUsage(t, s, 0, 0, 1<<20)
	write(t, p, b, 500_000, 1<<20)
	if got := p.Available(0); got != 0 {
		t.Errorf("Available(0): got %d", got)
	}
	if got := p.Available(600_000); got != 1<<20-600_000 {
		t.Errorf("Available(600000): got %d", got)
	}
	if got := p.Missing(); len(got) != 1 || got[0] != (store.Range{Off: 0, End: 500_000}) {
		t.Errorf("Missing: got %v", got)
	}
	if _, err := p.Commit(store.Meta{}); err == nil {
		t.Error("Commit of an incomplete blob: got no error")
	}
	if _, err := p.WriteAt(b[:2], 1<<20-1); err == nil {
		t.Error("WriteAt past the size: got no error")
	}
	write(t, p, b, 0, 500_000)
	modified := time.Unix(1e9, 0).UTC()
	if i, err := p.Commit(store.Meta{Modified: modified}); err != nil || i.Digest != d || i.Size != 1<<20 || !i.Modified.Equal(modified) {
		t.Errorf("Commit: got %+v, %v", i, err)
	}
	wantBlob(t, s, d, b)
	wantUsage(t, s, 1, 1<<20, 0)
	_, err = p.WriteAt(b[:1], 0)
	wantErr(t, "WriteAt after Commit", err, fs.ErrClosed)
	must(t, p.Close())
	_, err = s.Partial(d, 1<<20)
	wantErr(t, "Partial of a held blob", err, fs.ErrExist)
}

func wrongBytes(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 200_000)
	p, err := s.Partial(d, 200_000)
	must(t, err)
	b[100_000]++
	write(t, p, b, 0, len(b))
	_, err = p.Commit(store.Meta{})
	wantErr(t, "Commit", err, store.ErrMismatch)
	must(t, p.Discard())
	wantUsage(t, s, 0, 0, 0)
	p, err = s.Partial(d, 200_000)
	must(t, err)
	if p.Resumed() || p.Available(0) != 0 {
		t.Errorf("after a mismatch: resumed %t with %d bytes", p.Resumed(), p.Available(0))
	}
	must(t, p.Discard())
}

func resume(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 300_000)
	p, err := s.Partial(d, 300_000)
	must(t, err)
	write(t, p, b, 0, 150_000)
	write(t, p, b, 250_000, 300_000)
	must(t, p.Close())
	p, err = s.Partial(d, 300_000)
	must(t, err)
	if !p.Resumed() || p.Available(0) != 128<<10 || p.Available(256<<10) != 300_000-256<<10 {
		t.Errorf("resumed %t with %d bytes, then %d", p.Resumed(), p.Available(0), p.Available(256<<10))
	}
	for _, r := range p.Missing() {
		write(t, p, b, int(r.Off), int(r.End))
	}
	_, err = p.Commit(store.Meta{})
	must(t, err)
	wantBlob(t, s, d, b)
	wantUsage(t, s, 1, 300_000, 0)
}

func unknownSize(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	p, err := s.Partial(d, -1)
	must(t, err)
	defer p.Discard()
	write(t, p, b, 0, 40_000)
	if got := p.Missing(); p.Size() != -1 || len(got) != 1 || got[0] != (store.Range{Off: 40_000, End: -1}) {
		t.Errorf("size %d, Missing: got %v", p.Size(), got)
	}
	if err := p.SetSize(39_999); err == nil {
		t.Error("SetSize below what is written: got no error")
	}
	must(t, p.SetSize(100_000))
	must(t, p.SetSize(100_000))
	if err := p.SetSize(100_001); err == nil {
		t.Error("SetSize to another size: got no error")
	}
	write(t, p, b, 40_000, 100_000)
	_, err = p.Commit(store.Meta{})
	must(t, err)
	wantBlob(t, s, d, b)
}

func unnamed(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	for range 2 { // the second time the blob is held
		p, err := s.Create(-1)
		must(t, err)
		write(t, p, b, 0, len(b))
		if i, err := p.Commit(store.Meta{}); err != nil || i.Digest != d || i.Size != 100_000 {
			t.Errorf("Commit: got %+v, %v", i, err)
		}
		wantBlob(t, s, d, b)
	}
	p, err := s.Create(10)
	must(t, err)
	write(t, p, b, 0, 5)
	must(t, p.Close())
	wantUsage(t, s, 1, 100_000, 0)
}

func oneWriter(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	p, err := s.Partial(d, 100_000)
	must(t, err)
	_, err = s.Partial(d, 100_000)
	wantErr(t, "second Partial", err, store.ErrBusy)
	must(t, s.Put(d, 100_000, bytes.NewReader(b), store.Meta{})) // does not need it
	write(t, p, b, 0, len(b))
	_, err = p.Commit(store.Meta{})
	must(t, err)
	wantUsage(t, s, 1, 100_000, 0)
}

// A source that repeats a range with other bytes must not change what has been
// hashed.
func firstBytesStay(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	bad, _ := Bytes(2, 100_000)
	p, err := s.Partial(d, 100_000)
	must(t, err)
	write(t, p, b, 0, 50_000)
	write(t, p, bad, 0, 50_000)
	write(t, p, b, 60_000, 70_000)
	copy(bad[50_000:60_000], b[50_000:])
	copy(bad[70_000:], b[70_000:])
	write(t, p, bad, 40_000, 100_000)
	_, err = p.Commit(store.Meta{})
	must(t, err)
	wantBlob(t, s, d, b)
}

func watch(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 10)
	must(t, s.Put(d, 10, bytes.NewReader(b), store.Meta{}))
	b2, d2 := Bytes(2, 20)
	want := []store.Event{{Digest: d, Size: 10, Held: true}, {Synced: true}, {Digest: d2, Size: 20, Held: true}, {Digest: d, Size: 10}}
	n := 0
	for e := range s.Watch(t.Context()) {
		if e != want[n] {
			t.Errorf("event %d: got %+v, want %+v", n, e, want[n])
		}
		if n++; n == len(want) {
			break
		}
		if n == 2 { // the listing is complete: changes follow
			must(t, s.Put(d2, 20, bytes.NewReader(b2), store.Meta{}))
			must(t, s.Remove(d))
		}
	}
}
