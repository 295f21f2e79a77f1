package kv

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A snapshot has the rows of one moment, and another database begins with those of the
// tables that are asked for.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	open := func(dir string, kept ...Kept) *DB {
		t.Helper()
		db, err := Open(dir, log, kept...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open(filepath.Join(t.TempDir(), "db"))
	mustPut(t, db.Table("sums"), "a", "1")
	mustPut(t, db.Table("names"), "b", "2")
	mustPut(t, db.Table("names"), "x", "3")
	mustPut(t, db.Table("other"), "c", "4")
	all := []Kept{{Table: "sums"}, {Table: "names"}}
	file := filepath.Join(t.TempDir(), "rows")
	err := db.Snapshot(all, func(size int64, write func(io.Writer) error) error {
		mustPut(t, db.Table("sums"), "a", "changed")
		mustPut(t, db.Table("sums"), "later", "5")
		var one, two bytes.Buffer
		if err := errors.Join(write(&one), write(&two)); err != nil {
			return err
		}
		if int64(one.Len()) != size || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%d bytes, then %d; said were %d", one.Len(), two.Len(), size)
		}
		return os.WriteFile(file, one.Bytes(), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "db")
	if there, err := Exists(dir); there || err != nil {
		t.Errorf("in an empty directory there is a database: %v, %v", there, err)
	}
	onlyB := func(key, _ []byte) bool { return string(key) == "b" }
	if err := Restore(dir, file, []Kept{{Table: "sums"}, {Table: "names", Rows: onlyB}}); err != nil {
		t.Fatal(err)
	}
	if there, err := Exists(dir); !there || err != nil {
		t.Errorf("the rows count for no database: %v, %v", there, err)
	}
	restored := open(dir, all...)
	for _, row := range []struct{ table, key, want string }{
		{"sums", "a", "1"}, {"sums", "later", ""}, {"names", "b", "2"}, {"names", "x", ""}, {"other", "c", ""},
	} {
		got, err := restored.Table(row.table).Get([]byte(row.key))
		if string(got) != row.want || row.want == "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s %s has %q, %v; want %q", row.table, row.key, got, err, row.want)
		}
	}
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(dir, all...); again != nil {
		if r, recovered := again.Recovered(); recovered {
			t.Errorf("the next start finds it damaged: %+v", r)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(filepath.Join(t.TempDir(), "db"), file, all); err == nil {
		t.Error("damaged rows are restored")
	}
}
