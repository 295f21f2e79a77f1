package fetch

import (
	"io"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/ledger"
)

// What comes before its client reads it was taken for that client all the
// same, and for the next one it is the store's.
func TestAnticipate(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.Catalog.Resolve(t.Context(), r.at(r.packageAt("large")), nil)
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	for range 3 {
		r.Anticipate(e)
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	r.running.Wait() // the download's own goroutine
	if n := r.mirror.Requests("*/large*"); n != 1 || !r.held(e.Digest) {
		t.Fatalf("anticipated three times: %d requests of the mirror, held %v", n, r.held(e.Digest))
	}
	for i, want := range []ledger.Origin{ledger.FromMirror, ledger.FromStore, ledger.FromStore} {
		f, err := r.Get(t.Context(), e)
		must(t, err)
		b, err := io.ReadAll(f.Body)
		must(t, err)
		f.Body.Close()
		if len(b) != len(r.files["large"].Data) || f.Body.Origin() != want {
			t.Errorf("client %d: %d bytes from %v, want from %v", i, len(b), f.Body.Origin(), want)
		}
	}
	r.Anticipate(e) // held: nothing to do
	r.Anticipate(r.Catalog.Resolve(t.Context(), r.at(inRelease), nil))
	if n := r.mirror.Requests("*"); r.mirror.Requests("*/large*") != 1 {
		t.Errorf("%d requests in all", n)
	}
}
