// Package catalog knows what the files of archives are: which digest and size
// a URL stands for, which files are Release files, which change, and what may
// be given to other boxes.
//
// It learns from the Release file of each suite and from the indices
// (Packages, Sources, pdiffs) that pass through the box. What one file lists is
// a table; a table becomes visible as a whole, when its last row is on disk.
// Tables are kept in package kv, a row each by path and by digest, and named
// by the content they were learned from, so that mirrors, suites and
// generations with the same index share it. In memory there are only the
// suites, their generations and which tables those show, one immutable state
// that readers take without a lock.
//
// It says, too, which indices may list a file and have not passed through yet
// (Unread), for a client whose lists are older than the box.
//
// It promises that a table holds exactly what the file with that digest lists,
// that Signed is true only for what stands, directly or through an index,
// in a Release that a key of the keyring signed (or of a trusted host), that
// Shared is WithAll only if such a Release came without a login from where anybody
// can fetch it, or a setting says so, that a path which indices in force list
// differently has no digest (OneOf), and that memory does not grow with the number
// of files listed.
package catalog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
)

// LearnWait is how long Resolve waits for an index that is being learned. A
// large one takes about a second once its bytes are there.
const LearnWait = 5 * time.Second

// expireEvery is the interval at which superseded generations are dropped.
const expireEvery = time.Minute

// Options are a Catalog's dependencies and settings. Table, Keyring and Log are
// required.
type Options struct {
	Table      *kv.Table
	Keyring    *keyring.Keyring
	TrustHosts []string // hosts (with a port that is not the scheme's own) whose archives count as signed without a signature
	Room       int64    // bytes of disk that its rows may take, some more for a moment; 0 is the most they ever take
	// ShareHost reports whether what a suite's host has is shared with all boxes,
	// wherever it came from; nil shares no such host.
	ShareHost func(suite Location) bool
	// Private is told of the first suite of a host that came from a private place,
	// and why that is private; nil if nobody wants to know. It neither blocks nor
	// calls the Catalog.
	Private func(suite Location, why string)
	// Holds reports whether a ring holds a generation, which is not forgotten then;
	// nil if there are no rings. It neither blocks nor calls the Catalog.
	Holds func(suite Location, id digest.Digest) bool
	Log   *slog.Logger
}

// Catalog may be used by several goroutines. Reading never waits for learning,
// except in Resolve as documented there.
type Catalog struct {
	rows    rows
	keyring *keyring.Keyring
	trusted map[string]bool
	log     *slog.Logger

	shareHost func(Location) bool
	private   func(Location, string)
	holds     func(Location, digest.Digest) bool

	// Fixed but for tests.
	now       func() time.Time
	learnWait time.Duration
	bounds    bounds

	state    atomic.Pointer[state]
	revision atomic.Uint64

	// mu serializes the making of the next state. Its rows are written before.
	mu    sync.Mutex
	drops drops

	changed  broadcast.Signal // what is Shared
	progress broadcast.Signal // a table was learned, or its learning failed
	learning register

	unreadable unreadable
}

// Open reads what the table holds. Everything learned before is available at once;
// rows that a killed process left unfinished are removed by Run.
func Open(o Options) (*Catalog, error) {
	c := &Catalog{
		rows:    newRows(o.Table),
		keyring: o.Keyring,
		trusted: make(map[string]bool),
		log:     o.Log, shareHost: o.ShareHost, private: o.Private, holds: o.Holds,
		now: time.Now, learnWait: LearnWait,
		bounds: boundsIn(o.Room),
		drops:  drops{wake: broadcast.NewWake()},
	}
	if c.shareHost == nil {
		c.shareHost = func(Location) bool { return false }
	}
	if c.private == nil {
		c.private = func(Location, string) {}
	}
	if c.holds == nil {
		c.holds = func(Location, digest.Digest) bool { return false }
	}
	for _, h := range o.TrustHosts {
		c.trusted[strings.ToLower(h)] = true
	}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("opening the catalog: %w", err)
	}
	return c, nil
}

// load makes the state from what is on disk.
func (c *Catalog) load() error {
	s := &state{suites: make(map[Location]*suite), tables: make(map[tableID]*table)}
	err := c.rows.kv.Scan([]byte{keyTable}, nil, func(key, value []byte) bool {
		if t, ok := parseTable(key, value); ok {
			s.tables[t.id] = t
		}
		return true
	})
	if err != nil {
		return err
	}
	bad, err := c.loadSuites(s)
	if err != nil {
		return err
	}
	places := s.byRelease()
	for _, t := range s.tables {
		if _, err := c.link(s, places, t); err != nil {
			return err
		}
	}
	gone := s.index()
	err = c.rows.kv.Update(func(tx *kv.Tx) error {
		for _, key := range bad {
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
		return deleteTables(tx, gone)
	})
	if err != nil {
		return err
	}
	c.state.Store(s)
	ids, err := c.rows.ids()
	for _, id := range ids {
		if s.tables[id] == nil {
			c.discard(id)
		}
	}
	return err
}

// loadSuites reads the suites, and returns the keys of those that cannot be read. These
// are learned again when a client asks for their Release.
func (c *Catalog) loadSuites(s *state) (bad [][]byte, err error) {
	err = c.rows.kv.Scan([]byte{keySuite}, nil, func(key, value []byte) bool {
		dir, err := ParseURL(string(key[1:]))
		var rec suiteRecord
		if err = errors.Join(err, json.Unmarshal(value, &rec)); err != nil {
			c.log.Warn("suite forgotten, since its row cannot be read", "suite", string(key[1:]), "err", err)
			bad = append(bad, bytes.Clone(key))
			return true
		}
		st := newSuite(dir, rec.First)
		st.used.Store(rec.Used)
		st.hits.Store(rec.Found)
		st.asked.Store(cmp.Or(rec.Asked, rec.Found))
		st.saved.Store(st.last())
		for _, r := range rec.Generations {
			if g := c.loaded(s, dir, r); g != nil {
				st.gens = append(st.gens, g)
				st.used.Store(max(st.used.Load(), r.Learned.Unix()))
			}
		}
		for _, r := range rec.Past {
			if g := c.loaded(s, dir, r); g != nil {
				st.past = append(st.past, g)
			}
		}
		if len(st.gens) > 0 {
			s.suites[dir] = st
		}
		return true
	})
	return bad, err
}

func parseTable(key, value []byte) (*table, bool) {
	if len(key) != 1+idSize || len(value) < 1+digest.Size {
		return nil, false
	}
	t := &table{id: tableID(binary.BigEndian.Uint32(key[1:])), kind: kind(value[0])}
	value = value[1+copy(t.digest[:], value[1:]):]
	var n int
	t.rows, n = binary.Varint(value)
	t.filter = bytes.Clone(value[max(n, 0):])
	return t, n > 0 && len(t.filter) > 0
}

func (t *table) record() []byte {
	b := append([]byte{byte(t.kind)}, t.digest[:]...)
	return append(binary.AppendVarint(b, t.rows), t.filter...)
}

func deleteTables(tx *kv.Tx, gone []*table) error {
	for _, t := range gone {
		if err := tx.Delete(tableKey(keyTable, t.id)); err != nil {
			return err
		}
	}
	return nil
}

// commit publishes next: on disk in one transaction, then to readers. changed
// are the suites that differ from the present state. The caller holds mu.
func (c *Catalog) commit(next *state, changed ...Location) error {
	old := c.state.Load()
	others, gone := next.trim(c.bounds, changed, c.holds)
	err := c.rows.kv.Update(func(tx *kv.Tx) error {
		for _, dir := range slices.Concat(changed, others) {
			if err := putSuite(tx, dir, next.suites[dir]); err != nil {
				return err
			}
		}
		for id, t := range next.tables {
			if old.tables[id] == nil {
				if err := tx.Put(tableKey(keyTable, id), t.record()); err != nil {
					return err
				}
			}
		}
		return deleteTables(tx, gone)
	})
	if err != nil {
		return err
	}
	c.state.Store(next)
	c.revision.Add(1)
	for _, t := range gone {
		c.discard(t.id)
	}
	if !old.shares(next) || !next.shares(old) {
		c.changed.Fire()
	}
	c.progress.Fire()
	c.tellPrivate(old, next, changed)
	return nil
}

// putSuite writes the row of a suite, or removes it with the suite.
func putSuite(tx *kv.Tx, dir Location, st *suite) error {
	key := append([]byte{keySuite}, dir.String()...)
	if st == nil {
		return tx.Delete(key)
	}
	rec := suiteRecord{First: st.first, Used: st.used.Load(), Found: st.hits.Load(), Asked: st.asked.Load()}
	for _, g := range st.gens {
		rec.Generations = append(rec.Generations, g.record)
	}
	for _, g := range st.past {
		rec.Past = append(rec.Past, g.record)
	}
	value, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	st.saved.Store(max(rec.Found, rec.Asked))
	return tx.Put(key, value)
}

// Run makes superseded generations past ones, drops those that are too old, and deletes
// the rows that no generation shows any more, until ctx ends; then it returns nil.
func (c *Catalog) Run(ctx context.Context) error {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		c.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-c.drops.wake:
		case <-tick.C:
			if err := c.expire(); err != nil {
				c.log.Warn("superseded generations not dropped", "err", err)
			}
		}
	}
}

// expire drops what is old enough of superseded and past generations.
func (c *Catalog) expire() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	next := c.state.Load().clone()
	var changed []Location
	for dir, st := range next.suites {
		if expired := st.expire(now); st.forgetPast(now, c.bounds.pastOf, c.holds) || expired {
			changed = append(changed, dir)
		}
	}
	if len(changed) == 0 {
		return c.saveUses(next)
	}
	return c.commit(next, changed...)
}

// saveUses writes down, once an hour, which suites clients use, as what is to be
// forgotten depends on it after a restart too.
func (c *Catalog) saveUses(s *state) error {
	return c.rows.kv.Update(func(tx *kv.Tx) error {
		for dir, st := range s.suites {
			if st.last() < st.saved.Load()+int64(inUse/time.Second) {
				continue
			}
			if err := putSuite(tx, dir, st); err != nil {
				return err
			}
		}
		return nil
	})
}

// drops are the tables whose rows are to be deleted.
type drops struct {
	mu   sync.Mutex
	ids  []tableID // guarded by mu
	wake broadcast.Wake
}

// discard has Run delete the rows of a table that is not visible.
func (c *Catalog) discard(id tableID) {
	c.drops.mu.Lock()
	c.drops.ids = append(c.drops.ids, id)
	c.drops.mu.Unlock()
	c.drops.wake.Call()
}

// sweep deletes the rows of discarded tables.
func (c *Catalog) sweep(ctx context.Context) {
	c.drops.mu.Lock()
	ids := c.drops.ids
	c.drops.ids = nil
	c.drops.mu.Unlock()
	for _, id := range ids {
		// What is not deleted now is found by the next Open.
		if err := c.rows.drop(ctx, id); err != nil && ctx.Err() == nil {
			c.log.Warn("rows of a dropped index not deleted", "table", id, "err", err)
		}
	}
}

// Stats are sizes, for the dashboard.
type Stats struct {
	Archives, Suites, Tables int
	Rows                     int64 // visible ones
}

// Stats returns the present sizes.
func (c *Catalog) Stats() Stats {
	s := c.state.Load()
	return Stats{Archives: len(s.roots), Suites: len(s.suites), Tables: len(s.tables), Rows: s.rows}
}

// Revision changes with all that the catalog knows.
func (c *Catalog) Revision() uint64 { return c.revision.Load() }

// Progress returns a channel that is closed when next a Release comes into force, or
// the learning of something ends.
func (c *Catalog) Progress() <-chan struct{} { return c.progress.Wait() }

// Changed returns a channel that is closed at the next change of what is
// Shared.
func (c *Catalog) Changed() <-chan struct{} { return c.changed.Wait() }
