package fetch

import (
	"errors"
	"testing"
	"time"

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

// A Release that a client has is the present one without a question to the mirror for as
// long as Get would say so, and each such request is one that the mirror was spared.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	s := &spared{of: make(map[string]int)}
	r := newRig(t, aptest.Suite{}, s.count, func(o *Options) { o.TTL = time.Hour })
	get := func(revalidate bool) (Request, *File) {
		t.Helper()
		q := Request{Entry: r.entry(inRelease), Party: client(1), Revalidate: revalidate}
		f, err := r.Get(t.Context(), q)
		must(t, err)
		f.Body.Close()
		return q, f
	}
	if _, first := get(false); first.Public {
		t.Error("what the mirror has just sent counts as held")
	}
	q, old := get(false)
	if !old.Public {
		t.Fatal("it is not public")
	}
	for range 3 {
		age, ok := r.Unchanged(q, old)
		if !ok || age <= 0 || age > time.Minute {
			t.Fatalf("%v, %v old", ok, age)
		}
		r.Reused(old.Digest)
	}
	s.check(r, map[string]int{"InRelease": 5})
	other := *old
	other.Modified = old.Modified.Add(time.Second)
	if _, ok := r.Unchanged(q, &other); ok {
		t.Error("with another date it is the same")
	}
	r.publish()
	var now *File
	for end := time.Now().Add(20 * time.Second); now == nil || now.Release == old.Release; { // once a second
		if _, now = get(true); time.Now().After(end) {
			t.Fatal("no new Release")
		}
	}
	if _, ok := r.Unchanged(q, old); ok {
		t.Error("the former Release is the present one")
	}
	_, now = get(false)
	if _, ok := r.Unchanged(q, now); !ok {
		t.Error("the present one is not")
	}
	r.Reused(now.Digest)
	o := r.options
	o.TTL = time.Nanosecond
	must(t, r.Fetcher.Close())
	r.Fetcher = New(o)
	t.Cleanup(func() { r.Fetcher.Close() })
	if _, ok := r.Unchanged(q, now); ok {
		t.Error("the mirror is not asked after the TTL")
	}
}
