package kv

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// damageCases is how many times each kind of file is damaged in each way.
var damageCases = flag.Int("damage-cases", 1, "cases of TestDamage for each kind of file, damage and end of the process")

var testKept = []Kept{
	{Table: "sums"},
	{Datastore: "swarm", Rows: func(key, _ []byte) bool { return bytes.HasPrefix(key, []byte("/bans/")) }},
}

func openKept(tb testing.TB, dir string) *DB {
	tb.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler), testKept...)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// The content of the database that is damaged. Round 1 is in the file of kept rows when
// round 2 is written; every fifth row of round 1 is deleted in round 2, and there are
// some more.
const (
	sums     = 3000
	catalogs = 20_000
)

func sumValue(i, round int) []byte { return fmt.Appendf(nil, "sum %d of round %d", i, round) }

// catalogValue is a small row, or one for the value log.
func catalogValue(i int) []byte {
	size := 100
	if i%500 == 0 {
		size = 20 << 10
	}
	return append(fmt.Appendf(nil, "row %d ", i), bytes.Repeat([]byte{byte(i)}, size)...)
}

// fillDamaged writes a round.
func fillDamaged(t *testing.T, db *DB, round int) {
	t.Helper()
	b := db.Table("sums").Batch()
	for i := range sums {
		key := fmt.Appendf(nil, "%d", i)
		err := b.Put(key, sumValue(i, round))
		if round == 2 && i%5 == 0 {
			err = b.Delete(key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := db.Table("catalog").Batch()
	for i := range catalogs / 2 {
		i += (round - 1) * catalogs / 2
		if err := c.Put(fmt.Appendf(nil, "%d", i), catalogValue(i)); err != nil {
			t.Fatal(err)
		}
	}
	bans := db.keyspace('d', "swarm")
	if err := errors.Join(b.Flush(), c.Flush(), bans.Put([]byte("/bans/peer/x"), []byte("banned")), bans.Put([]byte("/providers/y"), []byte("record"))); err != nil {
		t.Fatal(err)
	}
}

// damagedTemplates are two data directories: of a box that stopped, and of one that was
// killed after a round of which the file of kept rows has nothing.
func damagedTemplates(t *testing.T) (stopped, killed string) {
	dir := filepath.Join(t.TempDir(), "db")
	db := openKept(t, dir)
	fillDamaged(t, db, 1)
	if err := db.Keep(); err != nil {
		t.Fatal(err)
	}
	fillDamaged(t, db, 2)
	killed = t.TempDir()
	copyData(t, filepath.Dir(dir), killed)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(dir), killed
}

// copyData copies a directory. Holes stay holes.
func copyData(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted meanwhile
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, rel), bytes.TrimRight(b, "\x00"), 0o600)
		}
		if err == nil {
			err = os.Truncate(filepath.Join(to, rel), int64(len(b)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// damageTo spoils a file at random places.
var damageTo = []struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}{
	{"truncated", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b)+1)] }},
	{"flipped", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"zeroed", func(r *rand.Rand, b []byte) []byte {
		from := r.IntN(len(b))
		clear(b[from:min(len(b), from+1+r.IntN(8<<10))])
		return b
	}},
	{"scrambled", func(r *rand.Rand, b []byte) []byte {
		from := r.IntN(len(b))
		for i := from; i < min(len(b), from+64); i++ {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
	{"all zeros", func(_ *rand.Rand, b []byte) []byte { clear(b); return b }},
	{"emptied", func(*rand.Rand, []byte) []byte { return nil }},
	{"removed", nil},
}

// damageFile spoils one file of a kind, that in what is written of it.
func damageFile(t *testing.T, r *rand.Rand, dir, kind string, do func(*rand.Rand, []byte) []byte) (name string, ok bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "db", kind))
	if err != nil || len(files) == 0 {
		return "", false
	}
	file := files[r.IntN(len(files))]
	if do == nil {
		err = os.Remove(file)
		return filepath.Base(file), err == nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(b))
	if b = bytes.TrimRight(b, "\x00"); len(b) == 0 {
		return "", false
	}
	before := len(b)
	b = do(r, b)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if len(b) == before { // not cut short
		err = os.Truncate(file, size)
	}
	return filepath.Base(file), err == nil
}

// A database of which any file is damaged in any way opens, and can be read and written.
// What nothing can rebuild is then as it was when the box stopped; after a kill, at
// least as it was when it was last kept. No row is ever wrong.
func TestDamage(t *testing.T) {
	stopped, killed := damagedTemplates(t)
	for _, end := range []struct{ name, dir string }{{"stopped", stopped}, {"killed", killed}} {
		for _, kind := range []string{"MANIFEST", "*.sst", "*.vlog", "KEYREGISTRY", "*.mem", "DISCARD"} {
			for _, damage := range damageTo {
				for seed := range *damageCases {
					name := fmt.Sprintf("%s/%s/%s/%d", end.name, strings.Trim(kind, "*."), damage.name, seed)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						dir := t.TempDir()
						copyData(t, end.dir, dir)
						r := rand.New(rand.NewPCG(uint64(seed), uint64(len(name))))
						file, ok := damageFile(t, r, dir, kind, damage.do)
						if !ok {
							return // none of that kind has anything in it
						}
						checkDamaged(t, dir, file, end.dir == stopped)
					})
				}
			}
		}
	}
}

// checkDamaged opens the database in dir, of which a file is damaged.
func checkDamaged(t *testing.T, dir, file string, stopped bool) {
	t.Helper()
	var logged bytes.Buffer
	path := filepath.Join(dir, "db")
	db, err := Open(path, slog.New(slog.NewTextHandler(&logged, nil)), testKept...)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	r, recovered := db.Recovered()
	checkRows(t, db, stopped)
	if recovered {
		if r.Why == nil || r.Restored.IsZero() || !errors.Is(r.Why, ErrDamaged) {
			t.Errorf("%s: recovered: %+v", file, r)
		}
		if _, err := os.Stat(r.SetAside); err != nil || !strings.Contains(logged.String(), filepath.Base(r.SetAside)) {
			t.Errorf("%s: set aside as %s: %v; log: %s", file, r.SetAside, err, logged.String())
		}
	}
	mustPut(t, db.Table("sums"), "more", "1")
	if err := db.Close(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	// It is good now.
	db = openKept(t, path)
	if again, ok := db.Recovered(); ok {
		t.Errorf("%s: after %+v, again %+v", file, r, again)
	}
	checkRows(t, db, stopped)
	if got := mustGet(t, db.Table("sums"), "more"); got != "1" {
		t.Errorf("what was written after the recovery: %q", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkRows checks what there is. stopped: all of round 2 was kept.
func checkRows(t *testing.T, db *DB, stopped bool) {
	t.Helper()
	wrong, seen := 0, 0
	for i := range sums {
		got, err := db.Table("sums").Get(fmt.Appendf(nil, "%d", i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		gone := i%5 == 0
		switch {
		case err != nil && gone, bytes.Equal(got, sumValue(i, 2)) && !gone, bytes.Equal(got, sumValue(i, 1)) && !stopped:
		default:
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d kept rows are not as they were", wrong, sums)
	}
	if got := mustGet(t, db.keyspace('d', "swarm"), "/bans/peer/x"); got != "banned" {
		t.Errorf("the ban is %q", got)
	}
	err := db.Table("catalog").Scan(nil, nil, func(key, value []byte) bool {
		var i int
		_, err := fmt.Sscan(string(key), &i)
		if err != nil || !bytes.Equal(value, catalogValue(i)) {
			t.Errorf("row %q is wrong: %.40q", key, value)
		}
		seen++
		return true
	})
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Errorf("scan of rows that are not kept: %v", err)
	}
}

func mustGet(t *testing.T, table *Table, key string) string {
	t.Helper()
	value, err := table.Get([]byte(key))
	if err != nil {
		t.Error(err)
	}
	return string(value)
}

// One set-aside database is kept, the newest.
func TestSetAsideIsBounded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d[b]") // must not be taken for a pattern
	for round := range 3 {
		db := openKept(t, dir)
		r, ok := db.Recovered()
		if ok != (round > 0) {
			t.Errorf("round %d: recovered %+v", round, r)
		}
		if round > 0 {
			if got := mustGet(t, db.Table("sums"), "a"); got != "1" {
				t.Errorf("round %d: %q", round, got)
			}
		}
		mustPut(t, db.Table("sums"), "a", "1")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if aside, err := setAsides(db.dir); err != nil || round > 0 && !slices.Equal(aside, []string{r.SetAside}) {
			t.Errorf("round %d: set aside are %v, want %s, %v", round, aside, r.SetAside, err)
		}
		if err := os.Truncate(filepath.Join(dir, "MANIFEST"), 3); err != nil {
			t.Fatal(err)
		}
	}
	db := openKept(t, dir)
	defer db.Close()
	if err := db.Purge(); err != nil {
		t.Fatal(err)
	}
	if aside, err := setAsides(db.dir); err != nil || len(aside) > 0 {
		t.Errorf("after Purge: %v, %v", aside, err)
	}
}
