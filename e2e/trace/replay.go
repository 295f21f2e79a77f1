package main

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// prefetching says what is fetched when a suite has a new Release: what a box decides, or
// by a rule.
type prefetching struct {
	all bool // what changed, in each architecture
	// part is how much of the bytes of what changed and the site downloaded within known,
	// by architecture, the most often downloaded first.
	part float64
	// depends: also what has a new name, and what the site uses depends on.
	depends bool
	// lately: not what nobody requested within patience after it was prefetched.
	lately bool
	// box: what the Prefetcher of a box decides, in place of all that.
	box bool
}

const (
	// known is for how long the site remembers what it downloaded.
	known = 90 * day
	// patience is how long what was prefetched may wait for a request, as in package uses
	// of the box.
	patience = 7 * day
)

// figures are sums of bytes, but for requests and hits, from the first week that is
// measured on.
type figures struct {
	requests, hits       int64
	bytes, hitBytes      int64
	waves, wavesFree     int64 // of clients' updates, and of these without the mirror
	first, firstFree     int64 // likewise of the first client after each wave
	prefetched, prefUsed int64 // fetched ahead, and what of it was requested
}

// add adds g to f.
func (f *figures) add(g figures) {
	f.requests += g.requests
	f.hits += g.hits
	f.bytes += g.bytes
	f.hitBytes += g.hitBytes
	f.waves += g.waves
	f.wavesFree += g.wavesFree
	f.first += g.first
	f.firstFree += g.firstFree
	f.prefetched += g.prefetched
	f.prefUsed += g.prefUsed
}

// ratio is n of total.
func ratio(n, total int64) float64 { return float64(n) / float64(max(total, 1)) }

// replay is a run of a trace.
type replay struct {
	archive *archive
	cache
	prefetching
	figures
	week      int
	downloads map[int][]time.Duration // of each package, within known
	waits     map[int]time.Duration   // since when a package that was prefetched was not requested
	fetched   map[file]bool           // prefetched in a week that is measured, and whether it was used
	led       int                     // the client that was first this week, or -1
	planner   *planner                // nil without box
}

// play has a cache serve a trace.
func play(t trace, c cache, p prefetching) (f figures, err error) {
	r := replay{archive: t.archive, cache: c, prefetching: p, downloads: make(map[int][]time.Duration), waits: make(map[int]time.Duration), fetched: make(map[file]bool)}
	if p.box {
		if r.planner, err = newPlanner(&r); err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, r.planner.close()) }()
	}
	for i, q := range t.requests {
		for ; r.week*int(week) <= int(q.at); r.week++ {
			if err := r.wave(r.week); err != nil {
				return figures{}, err
			}
		}
		if err := r.serve(q, i); err != nil {
			return figures{}, err
		}
	}
	return r.figures, nil
}

// measures reports whether the week that requests are in counts.
func (r *replay) measures() bool { return r.week-1 >= warmUp && r.week-1 < measured }

// ahead prefetches a file.
func (r *replay) ahead(f file, now time.Duration) error {
	size := r.archive.size(f)
	if err := r.put(f, size, now); err != nil {
		return err
	}
	if r.week >= warmUp && r.week < measured {
		r.fetched[f] = false
		r.prefetched += size
	}
	return nil
}

// wave begins a week: what changed is superseded, and the new versions are prefetched.
func (r *replay) wave(w int) error {
	r.led = -1
	begin := time.Duration(w) * week
	type want struct {
		file file
		uses int
	}
	var wants []want
	for p := range r.archive.pkgs {
		if !r.archive.pkgs[p].changes(w) {
			continue
		}
		f := file{p, r.archive.pkgs[p].version(w)}
		old := file{p, f.version - 1}
		if err := r.supersede(old, r.archive.size(old)); err != nil {
			return err
		}
		uses := slices.DeleteFunc(r.downloads[p], func(at time.Duration) bool { return at < begin-known })
		r.downloads[p] = uses
		wanted := len(uses) > 0 && (r.depends || !r.archive.pkgs[p].renamed)
		if since, waits := r.waits[p]; r.lately && waits && begin-since >= patience {
			wanted = false
		}
		if r.all || wanted {
			wants = append(wants, want{f, len(uses)})
		}
	}
	if r.planner != nil {
		return r.planner.wave(w)
	}
	slices.SortFunc(wants, func(x, y want) int {
		return cmp.Or(cmp.Compare(y.uses, x.uses), cmp.Compare(x.file.pkg, y.file.pkg))
	})
	budget := int64(0)
	for _, want := range wants {
		budget += r.archive.size(want.file)
	}
	if !r.all {
		budget = int64(r.part * float64(budget))
	}
	for _, want := range wants {
		size := r.archive.size(want.file)
		if size > budget {
			continue
		}
		budget -= size
		if err := r.ahead(want.file, begin); err != nil {
			return err
		}
		if _, waits := r.waits[want.file.pkg]; !waits {
			r.waits[want.file.pkg] = begin
		}
	}
	return nil
}

// serve serves the nth request and counts it.
func (r *replay) serve(q request, n int) error {
	size := r.archive.size(q.file)
	hit, err := r.get(q.file, size, q.at)
	if err != nil {
		return err
	}
	if q.client >= 0 {
		r.downloads[q.file.pkg] = append(r.downloads[q.file.pkg], q.at)
		delete(r.waits, q.file.pkg)
		if r.planner != nil {
			r.planner.served(q, n, hit)
		}
	}
	if used, ahead := r.fetched[q.file]; ahead && !used {
		r.fetched[q.file] = true
		r.prefUsed += size
	}
	if !r.measures() || q.client < 0 {
		return nil
	}
	free := int64(0)
	if hit {
		free = size
		r.hits++
	}
	r.requests++
	r.bytes += size
	r.hitBytes += free
	if !q.update {
		return nil
	}
	r.waves += size
	r.wavesFree += free
	if r.led < 0 {
		r.led = q.client
	}
	if r.led == q.client {
		r.first += size
		r.firstFree += free
	}
	return nil
}
