package kv

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The file has what Kept names, in that order, as far as there is room.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	var logged bytes.Buffer
	db, err := Open(dir, slog.New(slog.NewTextHandler(&logged, nil)), Kept{Table: "dear"}, Kept{Table: "big"}, Kept{Table: "last"})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, db.Table("last"), "a", "1")
	mustPut(t, db.Table("dear"), "a", "1")
	b := db.Table("big").Batch()
	for i := range 2*maxKept/MaxValue + 1 {
		if err := b.Put([]byte{byte(i)}, make([]byte, MaxValue/2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.Flush(), db.Keep()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "table=big") {
		t.Errorf("log: %s", logged.String())
	}
	info, err := os.Stat(dir + keptSuffix)
	if err != nil || info.Size() > maxKept+64<<10 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := errors.Join(db.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	// A lost database is as one that was damaged.
	db = openKept(t, dir)
	defer db.Close()
	if r, ok := db.Recovered(); !ok || r.Restored.IsZero() || r.SetAside != "" || time.Since(r.Restored) > time.Hour {
		t.Errorf("recovered: %+v, %v", r, ok)
	}
	if got := mustGet(t, db.Table("dear"), "a"); got != "1" {
		t.Errorf("%q", got)
	}
	if _, err := db.Table("last").Get([]byte("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a row for which there was no room: %v", err)
	}
}

// A file of kept rows that is damaged too costs its rows, not the start.
func TestKeptDamaged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := openKept(t, dir)
	mustPut(t, db.Table("sums"), "a", "1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(dir + keptSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if err := os.WriteFile(dir+keptSuffix, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if at, err := checkKept(dir + keptSuffix); err == nil {
			t.Errorf("byte %d flipped: from %s", i, at)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	db = openKept(t, dir)
	defer db.Close()
	if _, err := db.Table("sums").Get([]byte("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a row of a damaged file: %v", err)
	}
}

// A table that a killed process had not finished is in no manifest, and no damage.
func TestUnfinishedTable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := openKept(t, dir)
	mustPut(t, db.Table("sums"), "a", "1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, "000099.sst")
	if err := os.WriteFile(unfinished, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	db = openKept(t, dir)
	defer db.Close()
	if r, ok := db.Recovered(); ok {
		t.Errorf("it was set aside: %v", r.Why)
	}
	if got, err := db.Table("sums").Get([]byte("a")); err != nil || string(got) != "1" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// A database that twice ended the process while it was opened is set aside, and so is
// one of which damage was read. One such end may have been a signal.
func TestOpeningThatEndsTheProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	for ends, want := range []bool{false, false, true} {
		if err := os.WriteFile(dir+openingSuffix, make([]byte, ends), 0o600); err != nil {
			t.Fatal(err)
		}
		db := openKept(t, dir)
		if _, ok := db.Recovered(); ok != want {
			t.Errorf("after %d ends: recovered is %v", ends, ok)
		}
		mustPut(t, db.Table("sums"), "a", "1")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := openKept(t, dir)
	if err := db.damaged(errors.New("a block is bad")); !errors.Is(err, ErrDamaged) || !errors.Is(db.Damage(), ErrDamaged) {
		t.Errorf("%v, %v", err, db.Damage())
	}
	mustPut(t, db.Table("sums"), "a", "2")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openKept(t, dir)
	defer db.Close()
	if r, ok := db.Recovered(); !ok || r.SetAside == "" {
		t.Errorf("recovered: %+v", r)
	}
	if got := mustGet(t, db.Table("sums"), "a"); got != "1" {
		t.Errorf("%q, but a damaged database writes no rows beside it", got)
	}
}

// What this machine lacks is no damage, also where Badger passes on its text only.
func TestFaultsOfTheMachine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errors.New("Opening table err: open 000001.sst: too many open files"), false},
		{errors.New("while mmapping: cannot allocate memory"), false},
		{errors.New("no space left on device"), false},
		{errors.New("Opening table err: CHECKSUM_MISMATCH"), true},
	} {
		if got := errors.Is(asDamage(tt.err), ErrDamaged); got != tt.want {
			t.Errorf("%v: damage is %v", tt.err, got)
		}
	}
}

// A bug of a caller is not the database's.
func TestPanicOfCaller(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir())
	mustPut(t, db.Table("rows"), "a", "1")
	defer func() {
		if p := recover(); p == nil || db.Damage() != nil {
			t.Errorf("recovered %v, %v", p, db.Damage())
		}
	}()
	err := db.Table("rows").Scan(nil, nil, func(_, _ []byte) bool { panic("a bug") })
	t.Errorf("Scan: %v", err)
}

func FuzzParseKept(f *testing.F) {
	var whole bytes.Buffer
	w := newKeptWriter(&whole, time.Unix(1, 0))
	if err := errors.Join(w.write(keptRow{[]byte("key"), []byte("value"), 7}), w.finish()); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		if _, err := parseKept(bytes.NewReader(b), func(r keptRow) error { size += len(r.key) + len(r.value); return nil }); err == nil && size > len(b) {
			t.Errorf("%d bytes of rows in %d", size, len(b))
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(make([]byte, logHeader), 0, 0, 1, 1, 0, 'k', 'v', 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = verifyTable(b)
		if len(b) >= logHeader {
			if end := logEnd(b); end < logHeader || end > len(b) {
				t.Errorf("a log of %d bytes ends at %d", len(b), end)
			}
		}
	})
}
