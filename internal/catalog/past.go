package catalog

import (
	"iter"
	"slices"
	"strings"
	"time"

	"millpond/internal/digest"
	"millpond/internal/party"
)

// What a suite's past may take. Clients that use the suite as it is now are answered
// from its current and earlier generations; the past is for those who ask for it, by
// its time or through a ring.
const (
	// maxPast bounds the past generations of all suites, about 1 KB each, and
	// maxPastOf those of one: unstable has some hundred in a month.
	maxPast   = 1024
	maxPastOf = 128
	// keepPast is how long one is kept that no ring holds.
	keepPast = 30 * 24 * time.Hour
	// pastShare is the part of the rows that those may have which only past
	// generations list.
	pastShare = 4
)

// Moment is a generation of a suite, and when it was in force here.
type Moment struct {
	Generation
	Superseded time.Time // when it ceased to be in force; zero for the current one
}

// from is the time from which on the archive had the generation.
func (g Generation) from() time.Time {
	if g.Date.IsZero() {
		return g.Learned
	}
	return g.Date
}

// all yields the generations of the suite, past ones too.
func (st *suite) all(yield func(*generation) bool) {
	for _, gens := range [][]*generation{st.gens, st.past} {
		for _, g := range gens {
			if !yield(g) {
				return
			}
		}
	}
}

// retire makes g, which is no earlier generation any more, a past one, if it is to be
// kept as such: clients have no use for what they do not believe, what came with a login
// is not for everybody, and one that was to come has not been in force.
func (st *suite) retire(g *generation) {
	if g.Signed && !g.Private && !g.Coming {
		st.past = append(st.past, g)
		slices.SortStableFunc(st.past, func(a, b *generation) int { return b.from().Compare(a.from()) })
	}
}

// forgetPast drops the past generations that are too old, too many or not signed, and reports
// whether there were any. Those that a ring holds stay.
func (st *suite) forgetPast(now time.Time, most int, held func(Location, digest.Digest) bool) (changed bool) {
	for i := len(st.past) - 1; i >= 0; i-- {
		g := st.past[i]
		if (!g.Signed || now.Sub(g.Superseded) >= keepPast || len(st.past) > most) && !held(st.dir, g.ID) {
			st.past = slices.Delete(st.past, i, i+1)
			changed = true
		}
	}
	return changed
}

// trimPast forgets past generations until the bounds are kept, by package party's rule
// among suites, and of one suite the oldest first. It returns the suites that changed.
func (s *state) trimPast(b bounds, held func(Location, digest.Digest) bool) (changed []Location, gone []*table) {
	for {
		weight := func(st *suite) int64 { return int64(len(st.past)) }
		switch {
		case s.pastRows > b.pastRows || s.rows > b.rows && s.pastRows > 0:
			weight = func(st *suite) int64 { return st.pastRows(s) }
		case s.past <= b.past:
			return changed, gone
		}
		victim, i := s.oldestPast(weight, held)
		if victim == nil {
			return changed, gone
		}
		victim.past = slices.Delete(victim.past, i, i+1)
		if !slices.Contains(changed, victim.dir) {
			changed = append(changed, victim.dir)
		}
		gone = append(gone, s.index()...)
	}
}

// oldestPast returns the past generation that gives way first, or nil.
func (s *state) oldestPast(weight func(*suite) int64, held func(Location, digest.Digest) bool) (*suite, int) {
	type victim struct {
		suite *suite
		index int
	}
	var victims []victim
	var entries []party.Entry
	for _, st := range s.suites {
		w := weight(st)
		i := len(st.past) - 1
		for i >= 0 && held(st.dir, st.past[i].ID) {
			i--
		}
		if w > 0 && i >= 0 {
			victims = append(victims, victim{st, i})
			entries = append(entries, party.Entry{Host: st.dir.Host, Weight: w, Used: st.past[i].Superseded.Unix()})
		}
	}
	if i := party.First(entries); i >= 0 {
		return victims[i].suite, victims[i].index
	}
	return nil, 0
}

// pastRows is how many rows only past generations of the suite show.
func (st *suite) pastRows(s *state) (n int64) {
	seen := make(map[tableID]bool)
	for _, g := range st.past {
		for t := range g.tables(s) {
			if sh := s.shown[t.id]; sh != nil && !sh.inUse && !seen[t.id] {
				seen[t.id] = true
				n += t.rows
			}
		}
	}
	return n
}

// tables yields the tables that the generation shows.
func (g *generation) tables(s *state) iter.Seq[*table] {
	return func(yield func(*table) bool) {
		if t := s.tables[g.Table]; t != nil && !yield(t) {
			return
		}
		for _, l := range g.learned {
			if !yield(l.table) {
				return
			}
		}
	}
}

// ForgetPast drops a past generation of the suite in that directory, unless a ring
// holds it.
func (c *Catalog) ForgetPast(dir Location, id digest.Digest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.Load().clone()
	st := next.suites[dir]
	if st == nil || c.holds(dir, id) {
		return nil
	}
	n := len(st.past)
	st.past = slices.DeleteFunc(st.past, func(g *generation) bool { return g.ID == id })
	if len(st.past) == n {
		return nil
	}
	return c.commit(next, dir)
}

// Moments returns the generations of the suite in that directory that are known and were
// in force, the one with the latest Date first.
func (c *Catalog) Moments(dir Location) (all []Moment) {
	st := c.state.Load().suites[dir]
	if st == nil {
		return nil
	}
	for g := range st.all {
		if !g.Coming {
			all = append(all, Moment{g.Generation, g.Superseded})
		}
	}
	slices.SortStableFunc(all, func(a, b Moment) int { return b.from().Compare(a.from()) })
	return all
}

// At returns the generation of the suite in that directory that its archive had at a
// time: the last one that is dated no later, of those that are known and came without a
// login.
func (c *Catalog) At(dir Location, t time.Time) (Generation, bool) {
	for _, m := range c.Moments(dir) {
		if !m.from().After(t) && !m.Private {
			return m.Generation, true
		}
	}
	return Generation{}, false
}

// ReleaseFile returns the digest of a Release file, InRelease, Release or Release.gpg,
// of a generation. A generation that came as InRelease has the other two if its text
// came as Release, too. ok is false if the generation has no such file.
func (c *Catalog) ReleaseFile(dir Location, id digest.Digest, name string) (d digest.Digest, ok bool) {
	st := c.state.Load().suites[dir]
	if st == nil {
		return digest.Digest{}, false
	}
	g := st.find(id)
	if g == nil {
		return digest.Digest{}, false
	}
	if g.isPair() == (name == "InRelease") {
		if g = st.otherForm(g); g == nil {
			return digest.Digest{}, false
		}
	}
	d = g.ID
	if name == "Release.gpg" {
		d = g.Signature
	}
	return d, !d.IsZero()
}

// otherForm returns the generation whose text is the same as g's and that came in the
// other form, or nil.
func (st *suite) otherForm(g *generation) *generation {
	for o := range st.all {
		if o.Text == g.Text && !g.Text.IsZero() && o.isPair() != g.isPair() {
			return o
		}
	}
	return nil
}

// isPair reports whether the Release came as Release and Release.gpg. Rows of earlier
// versions tell that by the signature alone.
func (r *record) isPair() bool { return r.Pair || !r.Signature.IsZero() }

// Listed yields the files that the Release of a generation lists, without their names
// in by-hash; it holds a page of them in memory. An error is the last thing that it
// yields.
func (c *Catalog) Listed(dir Location, id digest.Digest) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s := c.state.Load()
		g := s.generation(dir, id)
		if g == nil {
			return
		}
		for f, err := range c.rows.pages(g.Table) {
			if err == nil && strings.Contains(f.path, "by-hash/") {
				continue
			}
			k, stem := indexKind(f.path)
			e := Entry{
				Location: dir.Join(f.path), Kind: Content, Digest: f.digest, Size: f.size, Signed: g.Signed,
				Suite: dir, Release: id, Index: k != noIndex && !g.has(stem),
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// ListedBy calls fn for each generation that lists d, in its Release or in an index
// that was learned, until fn returns false.
func (c *Catalog) ListedBy(d digest.Digest, fn func(dir Location, id digest.Digest) bool) error {
	s := c.state.Load()
	more := true
	return c.rows.listed(d, 1, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil {
			for _, p := range sh.places {
				if more = fn(p.suite.dir, p.gen.ID); !more {
					break
				}
			}
		}
		return more
	})
}

// InUse reports whether a Release that counts as signed lists d and is not only kept
// for snapshots and rings.
func (c *Catalog) InUse(d digest.Digest) bool {
	s := c.state.Load()
	var in bool
	err := c.rows.listed(d, 1, func(l listing) bool {
		sh := s.shown[l.table]
		in = sh != nil && sh.signed && sh.inUse
		return !in
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
		return true
	}
	return in
}

// inPast looks for a file that no other generation lists in past ones, the latest
// first: of clients whose lists are as old.
func (c *Catalog) inPast(s *state, suites []*suite, rel string) (e Entry, ok bool, err error) {
	h := hashPath(rel)
	var latest *generation
	for _, st := range suites {
		for _, g := range st.past {
			if latest != nil && !g.from().After(latest.from()) {
				break
			}
			for _, l := range g.learned {
				if l.table.kind == kindDiffIndex {
					continue
				}
				f, has, err := c.rows.get(l.table, rel, h)
				if err != nil {
					return Entry{}, false, err
				}
				if has {
					sh := s.shown[l.table.id]
					latest, e, ok = g, Entry{Kind: Content, Digest: f.digest, Size: f.size, Signed: sh.signed, Shared: sh.shared}, true
					break
				}
			}
		}
	}
	if !ok {
		return Entry{}, false, nil
	}
	err = c.mark(s, &e, e.Signed, e.Shared)
	return e, true, err
}

// loaded is the generation r of the suite in dir as it was read, or nil.
func (c *Catalog) loaded(s *state, dir Location, r record) *generation {
	if s.tables[r.Table] == nil {
		return nil // impossible: both are written in one transaction
	}
	c.decideSigned(dir, &r)
	return &generation{record: r}
}
