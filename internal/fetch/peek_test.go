package fetch

import (
	"errors"
	"testing"

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
