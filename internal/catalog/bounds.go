package catalog

import (
	"slices"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/party"
)

// Bounds of what the catalog knows. An office has some tens of suites with a few
// million rows; ten million take about 4 GB of disk.
const (
	maxArchives = 1024
	maxSuites   = 4096
	maxRows     = 10_000_000
	// minRows is the least that Options.Room makes of maxRows: 10 MB.
	minRows = 25_000
	// rowBytes is what a row takes on disk: it stands twice, each time with a path
	// and a digest, and compaction leaves some of what it replaces.
	rowBytes = 400
	// longPath is how many bytes of its path a row has for that: with more it counts
	// as several. The longest paths of real archives have some 300.
	longPath = 256
	// unsignedShare is the part of the rows that what nobody vouches for may have:
	// a site has large indices of distributions, which are signed, and small ones of
	// its own.
	unsignedShare = 4
)

// bounds are those of one catalog.
type bounds struct {
	archives, suites int
	rows             int64
	unsigned         int64 // of rows: those of suites that are not signed
	past, pastOf     int   // past generations, and those of one suite
	pastRows         int64 // of rows: those that only past generations show
}

// boundsIn returns the bounds of a catalog that may take room bytes of disk.
func boundsIn(room int64) bounds {
	rows := int64(maxRows)
	if room > 0 {
		rows = min(max(room/rowBytes, minRows), maxRows)
	}
	return bounds{
		archives: maxArchives, suites: maxSuites, rows: rows, unsigned: rows / unsignedShare,
		past: maxPast, pastOf: maxPastOf, pastRows: rows / pastShare,
	}
}

// uses is when a suite was looked up, in Unix time in seconds.
type uses struct {
	first time.Time    // when it became known
	used  atomic.Int64 // the last look-up
	hits  atomic.Int64 // the last one that found a file in it; 0 if none did
	asked atomic.Int64 // the last one of a client below its directory; 0 if there was none
	saved atomic.Int64 // the later of hits and asked, as it is on disk
}

// ask notes that a client asks for a file below the suite's directory.
func (u *uses) ask(now int64) {
	if u.asked.Load() < now {
		u.asked.Store(now)
	}
}

// last is the later of hits and asked.
func (u *uses) last() int64 { return max(u.hits.Load(), u.asked.Load()) }

// use notes a look-up in the suite.
func (u *uses) use(now int64) {
	if u.used.Load() < now {
		u.used.Store(now)
	}
}

// hit notes a look-up that found a file.
func (u *uses) hit(now int64) {
	u.use(now)
	if u.hits.Load() < now {
		u.hits.Store(now)
	}
}

// inUse is how long after its first look-up a suite must be of use to count as one
// that clients use: a flood takes minutes.
const inUse = time.Hour

// class is what speaks for keeping a suite, as in package party: first that clients use
// it, then that a key vouches for it. One of which only the Release was ever asked
// for comes last: there is no end of such, signed ones of old snapshots among them.
func (st *suite) class() int {
	class := 0
	switch found := st.hits.Load(); {
	case found >= st.first.Add(inUse).Unix():
		class = 4
	case found > 0 || slices.ContainsFunc(st.gens, func(g *generation) bool { return len(g.learned) > 0 }):
		class = 2
	}
	if st.current().Signed {
		class++
	}
	return class
}

// trim makes room until the bounds are kept, and indexes: by package party's rule it
// forgets suites, or where there are too many rows first what their indices list. The
// suites in changed stay: a new one has nothing yet that speaks for it. Past generations
// go before all else. It returns the suites that it forgot or changed, and the tables
// that no suite shows any more.
func (s *state) trim(b bounds, changed []Location, held func(Location, digest.Digest) bool) (others []Location, gone []*table) {
	gone = s.index()
	others, dropped := s.trimPast(b, held)
	gone = append(gone, dropped...)
	for {
		many := len(s.suites) > b.suites || len(s.roots) > b.archives
		var victim *suite
		switch {
		case many:
			victim = s.victim(changed, func(*suite, *state) int64 { return 1 })
		case s.unsigned > b.unsigned:
			victim = s.victim(changed, (*suite).unsignedRows)
		case s.rows > b.rows:
			victim = s.victim(changed, (*suite).rows)
		default:
			return others, gone
		}
		if victim == nil {
			return others, gone
		}
		if many || !victim.unlearn() {
			delete(s.suites, victim.dir)
			others = append(others, victim.dir)
		}
		gone = append(gone, s.index()...)
	}
}

// victim returns the suite that gives way first, of those that weigh anything, or nil.
func (s *state) victim(changed []Location, weight func(*suite, *state) int64) *suite {
	var suites []*suite
	var entries []party.Entry
	for _, st := range s.suites {
		if w := weight(st, s); w > 0 && !slices.Contains(changed, st.dir) {
			suites = append(suites, st)
			entries = append(entries, party.Entry{Host: st.dir.Host, Class: st.class(), Weight: w, Used: st.used.Load()})
		}
	}
	if i := party.First(entries); i >= 0 {
		return suites[i]
	}
	return nil
}

// unlearn forgets what the indices of the suite list, and reports whether there was
// anything.
func (st *suite) unlearn() (any bool) {
	for g := range st.all {
		any = any || len(g.learned) > 0
		g.learned = nil
	}
	return any
}

// rows is how many rows a suite shows, and unsignedRows those of them that no signed
// suite shows too.
func (st *suite) rows(s *state) (n int64) {
	st.each(s, func(sh *shown) { n += sh.rows })
	return n
}

func (st *suite) unsignedRows(s *state) (n int64) {
	st.each(s, func(sh *shown) {
		if !sh.signed {
			n += sh.rows
		}
	})
	return n
}

// each calls fn for the tables that a suite shows.
func (st *suite) each(s *state, fn func(*shown)) {
	for g := range st.all {
		fn(s.shown[g.Table])
		for _, l := range g.learned {
			fn(s.shown[l.table.id])
		}
	}
}
