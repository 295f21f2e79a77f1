package fetch

import (
	"errors"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/mirror"
)

// A client that only asks about a file has nothing downloaded for it.
func TestPeek(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	size := int64(len(r.files["large"].Data))
	before := r.taken.Load()
	e := r.catalog.Resolve(t.Context(), r.at(r.packageAt("large")), nil)
	f, err := r.Peek(t.Context(), Request{Entry: e})
	must(t, err)
	f.Body.Close()
	if f.Size != size || r.taken.Load()-before > 1 || r.Stats().Running != 0 {
		t.Errorf("size %d of %d, %d bytes taken, %d downloads", f.Size, size, r.taken.Load()-before, r.Stats().Running)
	}
	r.mirror.Inject("*/large*", aptest.Status(404))
	var status *mirror.StatusError
	if _, err := r.Peek(t.Context(), Request{Entry: e}); !errors.As(err, &status) {
		t.Errorf("got %v, want the mirror's 404", err)
	}
	r.mirror.ClearFaults()
	r.want(r.packageAt("large"), r.files["large"].Data)
	f, err = r.Peek(t.Context(), Request{Entry: e})
	must(t, err)
	f.Body.Close()
	if f.Size != size {
		t.Errorf("held: size %d, want %d", f.Size, size)
	}
}

// The same for a file that no index lists: its size is the mirror's to tell.
func TestPeekUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	const unlisted, empty = "dists/stable/unlisted", "dists/stable/empty"
	data := make([]byte, 1<<20)
	r.mirror.Put("/debian/"+unlisted, data, time.Now())
	r.mirror.Put("/debian/"+empty, nil, time.Now())
	peek := func(path string) *File {
		t.Helper()
		f, err := r.Peek(t.Context(), Request{Entry: r.catalog.Resolve(t.Context(), r.at(path), nil)})
		must(t, err)
		f.Body.Close()
		return f
	}
	if f := peek(unlisted); f.Size != int64(len(data)) || f.Modified.IsZero() || r.taken.Load() > 1 {
		t.Errorf("size %d of %d, changed %v, %d bytes taken", f.Size, len(data), f.Modified, r.taken.Load())
	}
	if f := peek(empty); f.Size != 0 {
		t.Errorf("an empty file has size %d", f.Size)
	}
	r.mirror.Inject("*/unlisted", aptest.NoContentLength(), aptest.IgnoreRange())
	if f := peek(unlisted); f.Size != -1 || r.Stats().Running != 0 {
		t.Errorf("size %d of a file whose size the mirror does not tell, %d downloads", f.Size, r.Stats().Running)
	}
	r.mirror.ClearFaults()
	r.want(unlisted, data)
	if f := peek(unlisted); f.Size != int64(len(data)) {
		t.Errorf("held: size %d of %d", f.Size, len(data))
	}
}
