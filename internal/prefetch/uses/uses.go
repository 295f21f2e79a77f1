// Package uses remembers which packages the clients of a site request: of each package,
// by architecture and by the distribution's release that it is a part of, how often,
// when last, the newest version that they had, and since when they have left alone what
// was fetched ahead. It knows nothing about the clients, nor does it need a file to be held
// any more.
//
// It keeps 20,000 packages at most, all of them in memory, some 3 MB, and in a table of
// package kv, which it writes with Flush. Where there are more, the releases that have
// most lose theirs first, of these what was requested only once and longest ago.
package uses

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/clock"
	"millpond/internal/deb"
	"millpond/internal/kv"
)

const (
	// Recent is how long a package counts as used after its last request. Whoever has
	// it installed updates it more often than that, if it has updates at all.
	Recent = 90 * 24 * time.Hour
	// patience is how long what was fetched ahead may wait for a client before newer
	// versions of it are no news: most clients update within a day, nearly all within a
	// week, and in that time a package may change twice.
	patience = 7 * 24 * time.Hour
	// halfLife is the time in which a request loses half of its weight: what a site
	// uses now comes before what it used much some months ago.
	halfLife = 30 * 24 * time.Hour
	// maxNames is as many packages as the ledger has accounts for.
	maxNames = 20_000
	// maxKey bounds a key. A file's name has up to 255 bytes, a codename some ten.
	maxKey = 512
	// twice is the weight from which a package was requested more than once.
	twice = 1.5
)

// Key names a package of one architecture in a release.
type Key struct {
	Line         string // the release, as bookworm
	Package      string
	Architecture string // deb.Source for a source package
	Type         string // as in deb.File
}

func (k Key) text() string {
	return strings.Join([]string{k.Line, k.Package, k.Architecture, k.Type}, "\x00")
}

// line returns the Line of a key's text.
func line(text string) string {
	line, _, _ := strings.Cut(text, "\x00")
	return line
}

// use is what is known of a package.
type use struct {
	last    time.Time // as this process counts time
	shown   int64     // last by the clock, in Unix seconds, when it was noted
	weight  float64   // of the requests, at last
	version string    // the newest that was requested or fetched ahead
	waits   int64     // since when one that was fetched ahead waits for a request, in Unix seconds; 0: none does
}

// weightAt is the weight at a time.
func (u use) weightAt(now time.Time) float64 {
	return u.weight * math.Exp2(-max(now.Sub(u.last), 0).Hours()/halfLife.Hours())
}

// Table is safe for concurrent use.
type Table struct {
	table *kv.Table
	now   func() time.Time
	log   *slog.Logger
	limit int

	mu    sync.Mutex
	uses  map[string]use      // guarded by mu; by Key.text
	dirty map[string]struct{} // guarded by mu; keys that Flush is to write or, if they are not in uses, to delete
}

// prefix begins the keys of the rows.
const prefix = 'u'

// Open reads what t holds under keys that begin with u. A row that cannot be read is
// forgotten, and logged. now is the time, time.Now but in a replayed trace.
func Open(t *kv.Table, now func() time.Time, log *slog.Logger) (*Table, error) {
	u := &Table{table: t, now: now, log: log, limit: maxNames, uses: make(map[string]use), dirty: make(map[string]struct{})}
	err := t.Scan([]byte{prefix}, nil, func(key, value []byte) bool {
		name := string(key[1:])
		r, err := decode(value)
		if err != nil {
			log.Warn("what clients requested of a package is forgotten, since its row cannot be read", "key", name, "err", err)
			u.dirty[name] = struct{}{}
			return true
		}
		u.uses[name] = r
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading which packages clients requested: %w", err)
	}
	u.trim()
	return u, nil
}

// Requested notes that a client got that version of a package now.
func (t *Table) Requested(k Key, version string) {
	t.change(k, func(u *use) {
		now := t.now()
		u.weight, u.last, u.shown, u.waits = u.weightAt(now)+1, now, now.Unix(), 0
		u.seen(version)
	}, true)
}

// Fetched notes that a version of a package that was requested once is held before a
// client asks, so that it is no news any more.
func (t *Table) Fetched(k Key, version string) {
	t.change(k, func(u *use) {
		if u.seen(version) && u.waits == 0 {
			u.waits = t.now().Unix()
		}
	}, false)
}

// seen notes a version, and reports whether it is newer than those before.
func (u *use) seen(version string) (newer bool) {
	newer = u.version == "" || deb.CompareVersions(version, u.version) > 0
	if newer {
		u.version = version
	}
	return newer
}

// lately reports whether a package is in use: it was requested within Recent, and nothing
// that was fetched ahead since has waited for too long. A clock that was set back has it
// wait for longer.
func (u use) lately(now time.Time) bool {
	waited := now.Sub(time.Unix(u.waits, 0))
	return u.weight > 0 && now.Sub(u.last) < Recent && (u.waits == 0 || waited < patience)
}

func (t *Table) change(k Key, do func(*use), also bool) {
	text := k.text()
	if len(text) > maxKey || strings.Count(text, "\x00") != 3 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	u, known := t.uses[text]
	if !known && !also {
		return
	}
	do(&u)
	t.uses[text] = u
	t.dirty[text] = struct{}{}
	if len(t.uses) > t.limit {
		t.trim()
	}
}

// trim forgets a twentieth of the packages if there are too many, as it looks at all of
// them. Caller holds mu.
func (t *Table) trim() {
	if len(t.uses) <= t.limit {
		return
	}
	over := len(t.uses) - t.limit + t.limit/20
	for _, again := range []bool{false, true} {
		over -= t.forget(over, again)
	}
}

// forget forgets n packages of those that were requested once, or again: of the line
// that has most of them, the one with the least weight. It returns how many it forgot.
func (t *Table) forget(n int, again bool) (gone int) {
	type entry struct {
		name   string
		weight float64
	}
	lines, now := make(map[string][]entry), t.now()
	for name, u := range t.uses {
		if w := u.weightAt(now); (w >= twice) == again {
			lines[line(name)] = append(lines[line(name)], entry{name, w})
		}
	}
	for _, all := range lines {
		slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(b.weight, a.weight) })
	}
	for ; gone < n && len(lines) > 0; gone++ {
		most := ""
		for l, all := range lines {
			if len(all) > len(lines[most]) {
				most = l
			}
		}
		all := lines[most]
		last := all[len(all)-1].name
		delete(t.uses, last)
		t.dirty[last] = struct{}{}
		if lines[most] = all[:len(all)-1]; len(lines[most]) == 0 {
			delete(lines, most)
		}
	}
	return gone
}

// News returns how much clients request a package, if it was requested within Recent, what
// was fetched ahead of it did not wait for a request for a week, and version is newer than
// all that were requested or fetched ahead.
func (t *Table) News(k Key, version string) (weight float64, ok bool) {
	return t.look(k, func(u use) bool { return deb.CompareVersions(version, u.version) > 0 })
}

// Used is News for a version that is not older than those.
func (t *Table) Used(k Key, version string) (weight float64, ok bool) {
	return t.look(k, func(u use) bool { return deb.CompareVersions(version, u.version) >= 0 })
}

func (t *Table) look(k Key, accept func(use) bool) (weight float64, ok bool) {
	t.mu.Lock()
	u, known := t.uses[k.text()]
	t.mu.Unlock()
	now := t.now()
	if !known || !u.lately(now) || !accept(u) {
		return 0, false
	}
	return u.weightAt(now), true
}

// Len is how many packages are known.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.uses)
}

// Flush writes what has changed. What fails to be written is written by the next Flush.
func (t *Table) Flush() error {
	t.mu.Lock()
	dirty := t.dirty
	t.dirty = make(map[string]struct{})
	rows := make(map[string][]byte, len(dirty))
	for name := range dirty {
		if u, ok := t.uses[name]; ok {
			rows[name] = u.encode()
		}
	}
	t.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	err := t.write(dirty, rows)
	if err == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range dirty {
		t.dirty[name] = struct{}{}
	}
	return fmt.Errorf("writing which packages clients requested: %w", err)
}

func (t *Table) write(dirty map[string]struct{}, rows map[string][]byte) error {
	b := t.table.Batch()
	defer b.Cancel()
	for name := range dirty {
		key := append([]byte{prefix}, name...)
		err := error(nil)
		if row, ok := rows[name]; ok {
			err = b.Put(key, row)
		} else {
			err = b.Delete(key)
		}
		if err != nil {
			return err
		}
	}
	return b.Flush()
}

// rowVersion begins a row: when the package was last requested, in Unix seconds, as 8
// bytes, then the weight of its requests as 8, since when it waits for one as 8, and the
// newest version.
const rowVersion = 2

const rowSize = 1 + 8 + 8 + 8

func (u use) encode() []byte {
	b := make([]byte, 0, rowSize+len(u.version))
	b = binary.BigEndian.AppendUint64(append(b, rowVersion), uint64(u.shown))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(u.weight))
	b = binary.BigEndian.AppendUint64(b, uint64(u.waits))
	return append(b, u.version...)
}

func decode(b []byte) (use, error) {
	if len(b) < rowSize || b[0] != rowVersion {
		return use{}, errors.New("not a row of this version of millpond")
	}
	u := use{
		shown:   int64(binary.BigEndian.Uint64(b[1:])),
		weight:  math.Float64frombits(binary.BigEndian.Uint64(b[9:])),
		waits:   int64(binary.BigEndian.Uint64(b[17:])),
		version: string(b[rowSize:]),
	}
	if !(u.weight >= 0 && u.weight < math.MaxInt32) {
		return use{}, fmt.Errorf("weight %v", u.weight)
	}
	// One in the future was written by a clock that was ahead, or is read by one that is
	// behind: that it was before this process is all that is known.
	if u.last = clock.Recall(time.Unix(u.shown, 0)); time.Since(u.last) < 0 {
		u.last = time.Now()
	}
	return u, nil
}
