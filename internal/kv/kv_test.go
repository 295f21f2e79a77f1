package kv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func openTest(tb testing.TB, dir string) *DB {
	tb.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func mustPut(tb testing.TB, t *Table, key, value string) {
	tb.Helper()
	if err := t.Put([]byte(key), []byte(value)); err != nil {
		tb.Fatal(err)
	}
}

// scanAll returns "key=value" for each row of a scan.
func scanAll(tb testing.TB, t *Table, prefix, from string) []string {
	tb.Helper()
	var start []byte
	if from != "" {
		start = []byte(from)
	}
	got := []string{}
	err := t.Scan([]byte(prefix), start, func(key, value []byte) bool {
		got = append(got, string(key)+"="+string(value))
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func TestGetPutDelete(t *testing.T) {
	t.Parallel()
	table := openTest(t, t.TempDir()).Table("rows")
	if _, err := table.Get([]byte("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of a missing key: %v, want fs.ErrNotExist", err)
	}
	if err := table.Delete([]byte("a")); err != nil {
		t.Errorf("Delete of a missing key: %v", err)
	}
	// 20 KB goes to the value log, the others into the tables.
	for _, value := range []string{"", "one", strings.Repeat("x", 20<<10), strings.Repeat("y", MaxValue)} {
		mustPut(t, table, "a", value)
		got, err := table.Get([]byte("a"))
		if err != nil || string(got) != value {
			t.Errorf("Get = %d bytes, %v, want %d bytes", len(got), err, len(value))
		}
	}
	if err := table.Delete([]byte("a")); err != nil {
		t.Error(err)
	}
	if _, err := table.Get([]byte("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of a deleted key: %v, want fs.ErrNotExist", err)
	}
	if err := table.Put([]byte("big"), make([]byte, MaxValue+1)); err == nil {
		t.Error("Put took a value larger than MaxValue")
	}
	mustPut(t, table, "", "empty key")
	if got, err := table.Get(nil); err != nil || string(got) != "empty key" {
		t.Errorf("Get of the empty key = %q, %v", got, err)
	}
}

func TestTablesShareNothing(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir())
	// Names and keys chosen so that a careless prefix would mix them up.
	rows := map[string]string{"a": "b", "ab": "", "abc": "x"}
	for name, key := range rows {
		mustPut(t, db.Table(name), key, "table "+name)
		key := dsKey("/" + key)
		if err := db.Datastore(name).Put(t.Context(), key, []byte("store "+name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, key := range rows {
		want := []string{key + "=table " + name}
		if got := scanAll(t, db.Table(name), "", ""); !slices.Equal(got, want) {
			t.Errorf("table %q holds %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "a\x00b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Table(%q) did not panic", name)
				}
			}()
			db.Table(name)
		}()
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	table := openTest(t, t.TempDir()).Table("rows")
	for _, key := range []string{"b2", "a", "b", "b\xff", "c", "b1"} {
		mustPut(t, table, key, "")
	}
	tests := []struct {
		name, prefix, from string
		want               []string
	}{
		{"all", "", "", []string{"a=", "b=", "b1=", "b2=", "b\xff=", "c="}},
		{"prefix", "b", "", []string{"b=", "b1=", "b2=", "b\xff="}},
		{"from a key", "b", "b1", []string{"b1=", "b2=", "b\xff="}},
		{"from between keys", "b", "b11", []string{"b2=", "b\xff="}},
		{"from before the prefix", "b", "a", []string{"b=", "b1=", "b2=", "b\xff="}},
		{"from after the prefix", "b", "c", []string{}},
		{"nothing", "x", "", []string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := scanAll(t, table, test.prefix, test.from); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("stop, and write meanwhile", func(t *testing.T) {
		var got []string
		err := table.Scan(nil, nil, func(key, _ []byte) bool {
			got = append(got, string(key))
			mustPut(t, table, string(key)+"x", "new")
			return len(got) < 2
		})
		if want := []string{"a", "b"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	table := openTest(t, t.TempDir()).Table("rows")
	mustPut(t, table, "old", "1")
	value := []byte("2")
	err := table.Update(func(tx *Tx) error {
		if err := tx.Put([]byte("new"), value); err != nil {
			return err
		}
		value[0] = '9' // Put has made a copy
		return tx.Delete([]byte("old"))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"new=2"}
	if got := scanAll(t, table, "", ""); !slices.Equal(got, want) {
		t.Errorf("after Update: %q, want %q", got, want)
	}

	fault := errors.New("stop")
	err = table.Update(func(tx *Tx) error {
		if err := tx.Put([]byte("other"), nil); err != nil {
			return err
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("Update returns %v, want %v", err, fault)
	}
	if got := scanAll(t, table, "", ""); !slices.Equal(got, want) {
		t.Errorf("after a failed Update: %q, want %q", got, want)
	}
}

func TestUpdateTooBig(t *testing.T) {
	t.Parallel()
	table := openTest(t, t.TempDir()).Table("rows")
	err := table.Update(func(tx *Tx) error {
		for i := range 1_000_000 {
			if err := tx.Put(fmt.Appendf(nil, "%d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, ErrTxnTooBig) {
		t.Errorf("Update returns %v, want ErrTxnTooBig", err)
	}
	if got := scanAll(t, table, "", ""); len(got) != 0 {
		t.Errorf("%d rows of a failed Update are there", len(got))
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	table := openTest(t, t.TempDir()).Table("rows")
	mustPut(t, table, "gone", "")
	b := table.Batch()
	defer b.Cancel()
	const n = 40_000 // more than one transaction holds
	key, value := make([]byte, 0, 16), make([]byte, 0, 16)
	for i := range n {
		key, value = fmt.Appendf(key[:0], "%06d", i), fmt.Appendf(value[:0], "v%d", i)
		if err := b.Put(key, value); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(b.Delete([]byte("gone")), b.Put([]byte("000007"), []byte("last wins")), b.Flush())
	if err != nil {
		t.Fatal(err)
	}
	got := scanAll(t, table, "", "")
	if len(got) != n {
		t.Fatalf("%d rows, want %d", len(got), n)
	}
	for i, row := range got {
		want := fmt.Sprintf("%06d=v%d", i, i)
		if i == 7 {
			want = "000007=last wins"
		}
		if row != want {
			t.Fatalf("row %d is %q, want %q", i, row, want)
		}
	}

	b = table.Batch()
	if err := b.Put([]byte("never"), nil); err != nil {
		t.Error(err)
	}
	b.Cancel()
	if _, err := table.Get([]byte("never")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a row of a cancelled batch: %v", err)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := badgerLog{slog.New(slog.NewTextHandler(&out, nil)), new(room)}
	l.Infof("not %s", "shown")
	l.Debugf("not shown")
	l.Warningf("w %d", 1)
	l.Errorf("e %d", 2)
	got := out.String()
	if strings.Contains(got, "shown") || !strings.Contains(got, `level=WARN msg="the database library reports something" err="w 1"`) ||
		!strings.Contains(got, `level=WARN msg="the database library reports something" err="e 2"`) {
		t.Errorf("log is %q", got)
	}
}

func TestJSON(t *testing.T) {
	table := openTest(t, t.TempDir()).Table("records")
	type record struct{ A, B int }
	if got, err := GetJSON[record](table, "absent"); err != nil || got != (record{}) {
		t.Errorf("an absent record: %v, %v", got, err)
	}
	want := record{1, 2}
	if err := PutJSON(table, "there", want); err != nil {
		t.Fatal(err)
	}
	if got, err := GetJSON[record](table, "there"); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	mustPut(t, table, "damaged", "{")
	if _, err := GetJSON[record](table, "damaged"); err == nil || !strings.Contains(err.Error(), `"damaged"`) {
		t.Errorf("a damaged record: %v, want an error that names it", err)
	}
}
