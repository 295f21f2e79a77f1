package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day

	// warmUp is for how many weeks the box works before anything is measured: what the
	// site downloaded within 90 days is known then.
	warmUp = 13
	// weeks is how long a trace lasts, and measured the week after its last wave that is
	// measured: what is prefetched has a month to be used in.
	weeks    = 34
	measured = weeks - 4
)

// site is the clients of a box, which all exist when it is new: what they have they
// got elsewhere, and the box learns of it only as they update or are installed again.
type site struct {
	name    string
	clients int
	arm     int // of them, with the second architecture
	images  int // by which they are installed; 0: each is installed by itself
	// installs is how many clients are installed anew in a week.
	installs int
	// slow: in the archive nothing changes more often than the two generations prove.
	slow bool
	// scan: in some week somebody downloads a good part of the archive, once.
	scan bool
}

const (
	// extra is the part of a client's packages that its image has not, and the part of
	// its image that it has not.
	extra = 0.05
	// prompt is the share of clients that update within a day of a Release, as unattended
	// upgrades do; the others take up to a week.
	prompt = 0.8
	// wishes is how many packages a client installs in a week in the mean.
	wishes = 1
	// scanWeek is when the scan is, and scanNth of the packages of an architecture it takes.
	scanWeek, scanNth = 20, 4
)

// request is a client's request for a file. Negative clients are no clients of the site.
type request struct {
	at     time.Duration
	client int
	file   file
	update bool // of what a client has
}

// trace is what happens at a site, in order.
type trace struct {
	archive  *archive
	requests []request
}

// client is what one has installed.
type client struct {
	arch, image int
	has         map[int]int // version by package
}

// recorder makes a trace.
type recorder struct {
	site
	trace
	rnd     *rand.Rand
	law     law
	sets    [][]int // ranks of each image
	systems []client
}

// action is something that a client does at a time.
type action struct {
	at time.Duration
	do func(at time.Duration)
}

// record makes a trace of a site whose clients have so many packages in the mean.
func record(a *archive, s site, mean float64, seed uint64) trace {
	r := recorder{site: s, trace: trace{archive: a}, rnd: rand.New(rand.NewPCG(seed, 0)), law: newLaw(len(a.ranked[0]), mean)}
	for range s.images {
		r.sets = append(r.sets, r.law.set(r.rnd))
	}
	for c := range s.clients {
		arch := 0
		if c < s.arm && len(a.ranked) > 1 {
			arch = 1
		}
		r.systems = append(r.systems, client{arch: arch, image: r.rnd.IntN(max(1, s.images))})
		r.install(c, nil)
	}
	for w := range weeks {
		r.week(w)
	}
	return r.trace
}

// week records what clients do in one.
func (r *recorder) week(w int) {
	begin := time.Duration(w) * week
	var all []action
	at := func(from, to time.Duration, do func(time.Duration)) {
		all = append(all, action{begin + from + time.Duration(r.rnd.Int64N(int64(to-from))), do})
	}
	for c := range r.systems {
		from, to := time.Duration(0), day
		if r.rnd.Float64() > prompt {
			from, to = day, week
		}
		at(from, to, func(now time.Duration) { r.update(c, now, w) })
		for r.rnd.Float64() < wishes/(wishes+1.0) { // geometric
			at(0, week, func(now time.Duration) { r.wish(c, now, w) })
		}
	}
	for range r.installs {
		c := r.rnd.IntN(len(r.systems))
		at(0, week, func(now time.Duration) {
			r.install(c, func(p int) { r.request(now, c, file{p, r.archive.pkgs[p].version(w)}, false) })
			for p := range r.systems[c].has {
				r.systems[c].has[p] = r.archive.pkgs[p].version(w)
			}
		})
	}
	if r.scan && w == scanWeek {
		at(day, 2*day, func(now time.Duration) {
			for i, p := range r.archive.ranked[0] {
				if i%scanNth == 0 {
					now += time.Second
					r.request(now, -1, file{p, r.archive.pkgs[p].version(w)}, false)
				}
			}
		})
	}
	slices.SortStableFunc(all, func(x, y action) int { return cmp.Compare(x.at, y.at) })
	for _, a := range all {
		a.do(a.at)
	}
}

func (r *recorder) request(at time.Duration, c int, f file, update bool) {
	r.requests = append(r.requests, request{at, c, f, update})
}

// install gives a client a new set of packages, and calls each with it.
func (r *recorder) install(c int, each func(pkg int)) {
	cl := &r.systems[c]
	cl.has = make(map[int]int)
	ranks := r.law.set(r.rnd)
	if r.site.images > 0 {
		own := ranks
		ranks = nil
		for _, k := range r.sets[cl.image] {
			if r.rnd.Float64() >= extra {
				ranks = append(ranks, k)
			}
		}
		for _, k := range own {
			if r.rnd.Float64() < extra {
				ranks = append(ranks, k)
			}
		}
	}
	for _, k := range ranks {
		p, ok := r.ranked(cl.arch, k)
		if _, has := cl.has[p]; !ok || has {
			continue
		}
		cl.has[p] = 0
		if each != nil {
			each(p)
		}
	}
}

// ranked returns the package of a rank, if the architecture has so many.
func (r *recorder) ranked(arch, rank int) (pkg int, ok bool) {
	all := r.archive.ranked[arch]
	if rank >= len(all) {
		return 0, false
	}
	return all[rank], true
}

// update has a client request the newest versions of what it has.
func (r *recorder) update(c int, now time.Duration, w int) {
	has := r.systems[c].has
	var stale []int
	for p, version := range has {
		if r.archive.pkgs[p].version(w) > version {
			stale = append(stale, p)
		}
	}
	slices.Sort(stale)
	for _, p := range stale {
		has[p] = r.archive.pkgs[p].version(w)
		r.request(now, c, file{p, has[p]}, true)
	}
}

// wish has a client install one package more.
func (r *recorder) wish(c int, now time.Duration, w int) {
	cl := &r.systems[c]
	p, ok := r.ranked(cl.arch, r.law.one(r.rnd))
	if _, has := cl.has[p]; has || !ok {
		return
	}
	cl.has[p] = r.archive.pkgs[p].version(w)
	r.request(now, c, file{p, cl.has[p]}, false)
}
