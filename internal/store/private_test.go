package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"millpond/internal/digest"
)

// commit commits b with m, as a download of its own.
func (b *box) commit(data []byte, m Meta) Info {
	b.t.Helper()
	p, err := b.CreateFor(digest.Of(data), int64(len(data)))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := p.WriteAt(data, 0); err != nil {
		b.t.Fatal(err)
	}
	info, err := p.Commit(m)
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

func (b *box) places(d digest.Digest) []string {
	b.t.Helper()
	i, err := b.Stat(d)
	if err != nil {
		b.t.Fatal(err)
	}
	return i.Private
}

// A blob is private while all of its copies came from behind a login, over a
// restart too; then it is public for good.
func TestPrivate(t *testing.T) {
	b := newBox(t, 1<<20)
	data, d := content(1, 1000)
	b.commit(data, Meta{Name: "a.deb", Private: "x", Pin: "somebody"})
	b.commit(data, Meta{Private: "y"})
	if err := b.Annotate(d, Meta{Name: "b.deb"}); err != nil { // no bytes came
		t.Fatal(err)
	}
	b.restart()
	if got := b.places(d); !slices.Equal(got, []string{"x", "y"}) {
		t.Fatalf("places %q", got)
	}
	if info, err := os.Stat(b.blobPath(d)); err != nil || info.Mode() != privateMode {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	for i := range 2 * maxPlaces {
		b.commit(data, Meta{Private: fmt.Sprint(i)})
	}
	if got := b.places(d); len(got) != maxPlaces || !slices.Contains(got, fmt.Sprint(2*maxPlaces-1)) {
		t.Errorf("places %q, want the last %d", got, maxPlaces)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var marks []bool
	for e := range b.Watch(ctx) {
		switch {
		case e.Synced:
			b.commit(data, Meta{})
		case e.Held:
			marks = append(marks, e.Private)
		}
		if len(marks) == 2 {
			cancel()
		}
	}
	if !slices.Equal(marks, []bool{true, false}) {
		t.Errorf("events say private %v", marks)
	}
	b.commit(data, Meta{Private: "z"})
	b.restart()
	if got := b.places(d); got != nil {
		t.Errorf("a public blob has become private: %q", got)
	}
	if info, err := os.Stat(b.blobPath(d)); err != nil || info.Mode() != publicMode {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

// Put makes a private blob public, if it has the bytes from elsewhere.
func TestPutPublishes(t *testing.T) {
	b := newBox(t, 1<<20)
	data, d := content(1, 1000)
	for _, place := range []string{"x", ""} {
		if err := b.Put(d, int64(len(data)), bytes.NewReader(data), Meta{Private: place}); err != nil {
			t.Fatal(err)
		}
		if got := b.places(d); (len(got) == 1) != (place != "") {
			t.Errorf("put from %q: places %q", place, got)
		}
	}
}

// Where the table was lost a private blob is still private, from no place that
// anybody could name.
func TestPrivateWithoutTable(t *testing.T) {
	b := newBox(t, 1<<20)
	data, d := content(1, 1000)
	public, open := content(2, 1000)
	b.commit(data, Meta{Private: "x"})
	b.commit(public, Meta{})
	b.stop()
	if err := os.RemoveAll(filepath.Join(b.dir, "kv")); err != nil {
		t.Fatal(err)
	}
	b.start()
	if got := b.places(d); !slices.Equal(got, []string{lostPlace}) {
		t.Errorf("places %q", got)
	}
	if got := b.places(open); got != nil {
		t.Errorf("a public blob has places %q", got)
	}
}

// Whoever reads a download goes on when its blob turns out to be held, also one
// who comes after the commit.
func TestReadersOfWhatIsHeld(t *testing.T) {
	b := newBox(t, 1<<20)
	data, d := content(1, 1000)
	b.commit(data, Meta{Private: "x"})
	p, err := b.CreateFor(d, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	before := p.Reader()
	defer before.Close()
	if _, err := p.Commit(Meta{}); err != nil {
		t.Fatal(err)
	}
	after := p.Reader()
	defer after.Close()
	for name, r := range map[string]*PartialReader{"before": before, "after": after} {
		got := make([]byte, 1000)
		if n, err := r.ReadAt(got, 0); n != 1000 || err != nil || !bytes.Equal(got, data) {
			t.Errorf("opened %s the commit: %d bytes, %v", name, n, err)
		}
	}
}

// Several downloads of one digest may be open beside Partial's.
func TestCreateFor(t *testing.T) {
	b := newBox(t, 1<<20)
	data, d := content(1, 1000)
	p, err := b.Partial(d, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Discard()
	b.commit(data, Meta{Private: "x"})
	b.commit(data, Meta{Private: "y"})
	if got := b.places(d); len(got) != 2 {
		t.Errorf("places %q", got)
	}
	wrong, err := b.CreateFor(digest.Of([]byte("other")), 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Discard()
	if _, err := wrong.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Commit(Meta{}); err == nil {
		t.Error("wrong bytes committed")
	}
	if _, err := b.Stat(digest.Of([]byte("other"))); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
