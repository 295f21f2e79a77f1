package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/system"
	"millpond/internal/api"
)

// databaseFiles are the kinds of files that a database has.
var databaseFiles = []string{"MANIFEST", "*.sst", "*.vlog", "*.mem", "KEYREGISTRY", "DISCARD"}

// A box of whose database any file is cut short, or has a flipped bit, starts, serves
// what it held without the mirror, tells what it set aside, and has its figures: after a
// stop all of them, after a kill at least those that were last kept beside it.
func TestDamagedDatabase(t *testing.T) {
	r := chance(t)
	d := newDatabases(t, r)
	d.archive.mirror.Down()
	type kind struct {
		was  *snapshot
		file string
		flip bool
	}
	var kinds []kind
	for _, was := range []*snapshot{&d.stopped, &d.killed} {
		for _, file := range databaseFiles {
			kinds = append(kinds, kind{was: was, file: file}, kind{was: was, file: file, flip: true})
		}
	}
	n, next := rounds(damaged, 6), 0
	for _, was := range []*snapshot{&d.stopped, &d.killed} {
		d.restore(was)
		d.check(was.name+", no damage", was)
	}
	if d.aside > 0 {
		t.Errorf("%d databases without damage were set aside", d.aside)
	}
	for done := 0; done < n && next < 3*n+len(kinds); next++ {
		if next%len(kinds) == 0 {
			r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		}
		k := kinds[next%len(kinds)]
		d.restore(k.was)
		if what := d.damage(k.file, k.flip); what != "" {
			d.check(fmt.Sprintf("%s, %s", k.was.name, what), k.was)
			done++
		}
	}
	if d.cases < n+2 {
		t.Errorf("%d cases, want %d", d.cases, n+2)
	}
	t.Logf("| %d cases | set aside and restored %d, as they were %d | start, min/median/max: %s |", d.cases, d.aside, d.cases-d.aside, spread(d.starts))
}

// snapshot is a data directory of a box that has ended.
type snapshot struct {
	name, dir   string
	least, most int64 // bytes to clients that its ledger has after the worst damage, and without any
	blobs       int64
	since       time.Time
}

type databases struct {
	*testing.T
	r               *rand.Rand
	archive         *archive
	box             *box.Box
	crowd           *crowd
	stopped, killed snapshot

	cases, aside int
	starts       []time.Duration
}

// newDatabases makes the snapshots. The box does not run then.
func newDatabases(t *testing.T, r *rand.Rand) *databases {
	t.Helper()
	d := &databases{T: t, r: r, archive: newArchive(t)}
	d.archive.add(r, 12, 500e3)
	d.archive.publish()
	d.box = d.archive.start(t)
	d.crowd = newCrowd(t, d.box, d.archive)
	d.all("before the damage")
	d.box.Until("the ledger has what clients received", func() bool { return d.box.Summary().ClientBytes == d.crowd.bytes() })
	s := d.box.Summary()
	d.box.Stop()
	d.stopped = d.save("stopped", s, s.ClientBytes)
	d.box.Run()
	for range 20 {
		d.all("before the kill")
	}
	d.box.Kill()
	d.killed = d.save("killed", s, d.crowd.bytes())
	return d
}

// all gets every file once, as a client does that updates and installs.
func (d *databases) all(when string) {
	d.Helper()
	for _, kind := range []string{releases, indices, packages} {
		for path := range d.archive.files[kind] {
			if err := d.crowd.get(d.Context(), path, 0); err != nil {
				d.Errorf("%s: %v", when, err)
			}
		}
	}
	if len(d.crowd.wrong) > 0 {
		d.Errorf("%s: wrong files %v", when, d.crowd.wrong)
	}
}

func (d *databases) save(name string, kept api.Summary, most int64) snapshot {
	d.Helper()
	s := snapshot{name: name, dir: filepath.Join(d.TempDir(), "data"), least: kept.ClientBytes, most: most, blobs: kept.Blobs, since: kept.Since}
	d.copy(d.box.Data, s.dir)
	return s
}

func (d *databases) copy(from, to string) {
	d.Helper()
	if err := system.Run("cp", "-a", "--sparse=always", from, to); err != nil {
		d.Fatal(err)
	}
}

func (d *databases) restore(s *snapshot) {
	d.Helper()
	if err := os.RemoveAll(d.box.Data); err != nil {
		d.Fatal(err)
	}
	d.copy(s.dir, d.box.Data)
}

// damage cuts a file of a kind short, or flips a bit of it, at a random place of what is
// written there. It returns what it did, "" if there is no such file.
func (d *databases) damage(kind string, flipped bool) string {
	d.Helper()
	files, err := filepath.Glob(filepath.Join(d.box.Data, "db", kind))
	if err != nil || len(files) == 0 {
		return ""
	}
	file := files[d.r.IntN(len(files))]
	b, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	written := len(bytes.TrimRight(b, "\x00"))
	if written == 0 {
		return ""
	}
	at := d.r.Int64N(int64(written))
	if flipped {
		bit := d.r.IntN(8)
		err = flip(file, at, 1<<bit)
		kind = fmt.Sprintf("bit %d of byte %d of %d of %s flipped", bit, at, written, filepath.Base(file))
	} else {
		err = os.Truncate(file, at)
		kind = fmt.Sprintf("%s cut off at %d of %d", filepath.Base(file), at, written)
	}
	if err != nil {
		d.Fatal(err)
	}
	return kind
}

// check starts the box on damaged data, and once more after another kill.
func (d *databases) check(what string, was *snapshot) {
	d.Helper()
	d.cases++
	d.starts = append(d.starts, timedRun(d.T, d.box))
	s := d.box.Summary()
	if s.ClientBytes < was.least || s.ClientBytes > was.most || s.Blobs != was.blobs || !s.Since.Equal(was.since) {
		d.Errorf("%s: %d bytes to clients, want %d to %d; %d blobs, want %d; since %v, want %v",
			what, s.ClientBytes, was.least, was.most, s.Blobs, was.blobs, s.Since, was.since)
	}
	// A client that has its lists asks for packages only.
	for path := range d.archive.files[packages] {
		d.box.Until("the catalog knows what is held", func() bool { return d.crowd.get(d.Context(), path, 0) == nil })
	}
	d.all(what)
	aside := d.setAside()
	if len(aside) > 0 {
		d.aside++
		name, health := filepath.Base(aside[0]), string(d.box.Get("/readyz"))
		if !strings.Contains(health, name) || !strings.Contains(health, "as they were at") || !strings.Contains(d.box.Log(), name) {
			d.Errorf("%s: %s was set aside; /readyz says %s; log:\n%s", what, name, health, d.box.Log())
		}
	}

	d.box.Kill()
	d.box.Run()
	if again := d.setAside(); len(again) != len(aside) || len(aside) > 0 && again[0] != aside[0] {
		d.Errorf("%s: set aside are %v, and after the next start %v; log:\n%s", what, aside, again, d.box.Log())
	}
	if got := d.box.Summary(); got.ClientBytes < s.ClientBytes || got.Blobs != was.blobs {
		d.Errorf("%s: after the next start %d bytes to clients, before it %d; %d blobs, want %d", what, got.ClientBytes, s.ClientBytes, got.Blobs, was.blobs)
	}
	d.box.Kill()
}

// setAside are the databases that the box has set aside.
func (d *databases) setAside() []string {
	d.Helper()
	all, err := filepath.Glob(filepath.Join(d.box.Data, "db.damaged-*"))
	if err != nil {
		d.Fatal(err)
	}
	return all
}
