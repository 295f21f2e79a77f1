package fetch

import (
	"errors"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/store"
)

// A held file is read once more unless Get has something to do first, and meanwhile it is in
// use.
func TestReuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	q := Request{Entry: e, Party: client(1)}
	must(t, r.Keep(t.Context(), e))
	if r.Reuse(q) {
		t.Fatal("bytes that the mirror sent for nobody yet are counted as held")
	}
	_, _, err := r.read(r.packageAt("large"))
	must(t, err)
	q.Again = true
	if r.Reuse(q) {
		t.Error("a file that a client comes back for is not hashed")
	}
	r.again(r.packageAt("large"))
	if !r.Reuse(q) {
		t.Fatal("a file that was hashed is not read once more")
	}
	if _, err := r.box.Store.Purge(e.Digest); !errors.Is(err, store.ErrInUse) {
		t.Errorf("removed while it is read: %v", err)
	}
	r.Reused(e.Digest)
	if _, err := r.box.Store.Purge(e.Digest); err != nil {
		t.Errorf("not removed although nobody reads it: %v", err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	_, _, err := r.read(r.packageAt("small"))
	must(t, err)
	f, err := r.Get(t.Context(), Request{Entry: r.entry(r.packageAt("small"))})
	must(t, err)
	defer f.Body.Close()
	if !f.Public {
		t.Error("a held file of an open archive is not public")
	}
}
