package store_test

import (
	"bytes"
	"log/slog"
	"testing"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Where only the rows of a table are left that Pinned and Known choose, the store has
// all that it had: pins, and the names under which blobs are found.
func TestKeptRows(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	db, err := kv.Open(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir := t.TempDir()
	open := func(table string) *store.Store {
		t.Helper()
		s, err := store.Open(store.Options{Dir: dir, Table: db.Table(table), Quota: store.Quota{Bytes: 1 << 30}, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open("before")
	all := map[digest.Digest]store.Info{}
	for i, pin := range []string{"", store.ByAdmin, "suite"} {
		content := bytes.Repeat([]byte{byte(i)}, 1000+i)
		d := digest.Of(content)
		m := store.Meta{Name: string(rune('a'+i)) + ".deb", From: []store.Provenance{{Name: "archive.example.org"}}, Pin: pin}
		if err := s.Put(d, int64(len(content)), bytes.NewReader(content), m); err != nil {
			t.Fatal(err)
		}
		if all[d], err = s.Stat(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := db.Table("after")
	err = db.Table("before").Scan(nil, nil, func(key, value []byte) bool {
		pinned, known := store.Pinned(key, value), store.Known(key, value)
		if pinned && known {
			t.Errorf("row %q is pinned, and not", key)
		}
		if pinned || known {
			if err := after.Put(key, value); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	s = open("after")
	defer s.Close()
	for d, want := range all {
		got, err := s.Stat(d)
		if err != nil || got.Name != want.Name || len(got.Pins) != len(want.Pins) || len(got.From) != 1 {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	named := 0
	for _, err := range s.Named("", "") {
		if err != nil {
			t.Fatal(err)
		}
		named++
	}
	if named != len(all) {
		t.Errorf("%d blobs are found by name, want %d", named, len(all))
	}
}
