package storetest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"millpond/internal/store"
)

func pin(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 1000)
	must(t, s.Put(d, 1000, bytes.NewReader(b), store.Meta{}))
	want := func(what string, pins ...string) {
		t.Helper()
		if i, err := s.Stat(d); err != nil || i.Pinned != (len(pins) > 0) || !slices.Equal(i.Pins, pins) {
			t.Errorf("%s: got %+v, %v; want pins %q", what, i, err, pins)
		}
	}
	for range 2 {
		must(t, s.Pin(d, store.ByAdmin))
		want("pinned", store.ByAdmin)
	}
	must(t, s.Pin(d, "a suite"))
	want("pinned twice", "a suite", store.ByAdmin)
	for range 2 {
		must(t, s.Unpin(d, store.ByAdmin))
		want("one pin released", "a suite")
	}
	must(t, s.Unpin(d, "another suite"))
	want("a pin that is not there released", "a suite")
	must(t, s.Unpin(d, "a suite"))
	want("both released")
}

// putMeta is about what a blob is stored with, which is there with the blob,
// and added to one that is held.
func putMeta(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 1000)
	m := store.Meta{
		Modified: time.Unix(1e9, 0).UTC(), Name: "InRelease", Pin: "a suite",
		From: []store.Provenance{{Name: "archive.example.org"}},
	}
	seen := false
	for e := range s.Watch(t.Context()) {
		if e.Synced {
			must(t, s.Put(d, 1000, bytes.NewReader(b), m))
			continue
		}
		seen = true
		break
	}
	i, err := s.Stat(d)
	if !seen || err != nil || i.Name != m.Name || !i.Modified.Equal(m.Modified) || !slices.Equal(i.From, m.From) || !slices.Equal(i.Pins, []string{"a suite"}) {
		t.Errorf("stored: %+v, %v", i, err)
	}
	must(t, s.Put(d, 1000, nil, store.Meta{Name: "other", Pin: "another suite"}))
	if i, err := s.Stat(d); err != nil || i.Name != m.Name || !slices.Equal(i.Pins, []string{"a suite", "another suite"}) {
		t.Errorf("stored again: %+v, %v", i, err)
	}
}
