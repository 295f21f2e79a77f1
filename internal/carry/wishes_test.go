package carry

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// listing says that all files are listed, each with the digest of its name.
type listing struct{}

func (listing) Resolve(_ context.Context, l catalog.Location, _ func(catalog.Location) digest.Digest) catalog.Entry {
	if l.Name() == "InRelease" {
		return catalog.Entry{Location: l, Kind: catalog.ReleaseFile, Suite: l.Dir(), Size: -1}
	}
	if l.Name() == "unlisted.deb" {
		return catalog.Entry{Location: l, Size: -1}
	}
	return catalog.Entry{Location: l, Kind: catalog.Content, Signed: true, Digest: digest.Of([]byte(l.Name())), Size: 1}
}

func newWishes(b *boxtest.Box) *Wishes {
	w := NewWishes(b.DB.Table("carry"), b.Catalog, b.Log)
	w.catalog = listing{}
	return w
}

func TestWishes(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	w := newWishes(b)
	for _, name := range []string{"a.deb", "b.deb", "a.deb", "unlisted.deb", "stable/InRelease", "testing/InRelease"} {
		w.Note("http://archive.example.org/pool/" + name)
	}
	w.Note("no URL")
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Run(ended); err != nil {
		t.Fatal(err)
	}
	w = newWishes(b) // as after a restart
	all, err := w.Files(t.Context(), b.Store)
	if err != nil || len(all) != 2 {
		t.Fatalf("wanted: %+v, %v", all, err)
	}
	known := func(l catalog.Location) bool { return l.Name() == "stable" }
	for range 2 {
		if suites, err := w.Suites(known); err != nil || len(suites) != 1 || suites[0].Name() != "testing" {
			t.Errorf("suites: %v, %v", suites, err)
		}
	}
	if n, err := w.count('s'); err != nil || n != 1 {
		t.Errorf("%d rows of suites, %v; want 1", n, err)
	}
	if err := b.Store.Put(digest.Of([]byte("a.deb")), 5, bytes.NewReader([]byte("a.deb")), store.Meta{}); err != nil {
		t.Fatal(err)
	}
	if all, err := w.Files(t.Context(), b.Store); err != nil || len(all) != 1 || all[0].Location.Name() != "b.deb" {
		t.Errorf("with one held: %+v, %v", all, err)
	}
	if n, err := w.count('w'); err != nil || n != 1 {
		t.Errorf("%d rows, %v; want 1", n, err)
	}
}

func TestWishesAreBounded(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	w := newWishes(b)
	w.most = 100
	for i := range maxUnwritten + 10 {
		w.Note(fmt.Sprintf("http://archive.example.org/pool/p%d.deb", i))
	}
	if n := len(w.unwritten); n != maxUnwritten {
		t.Errorf("%d URLs in memory, want %d", n, maxUnwritten)
	}
	if err := w.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.count('w'); err != nil || n != 100 {
		t.Errorf("%d rows, %v; want 100", n, err)
	}
	for i := range maxNewSuites + 10 {
		w.Note(fmt.Sprintf("http://archive.example.org/dists/%d/InRelease", i))
	}
	if err := w.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.count('s'); err != nil || n != maxNewSuites {
		t.Errorf("%d rows of suites, %v; want %d", n, err, maxNewSuites)
	}
	w.Note("http://archive.example.org/dists/real/InRelease")
	if err := w.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := w.Suites(func(catalog.Location) bool { return false }); err != nil || len(all) != 1 || all[0].Name() != "real" {
		t.Errorf("a suite after many others: %v, %v", all, err)
	}
}
