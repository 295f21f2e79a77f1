package siteledger

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// Box is a box with what it told last.
type Box struct {
	ID, Name string
	Self     bool
	Unproved bool // nothing proves its figures
	Away     bool // it is not there now: no rates and no faults count
	Seen     time.Time
	Began    time.Time // its ledger
	Report
}

// Status is the worst of the faults: ok, degraded or unavailable.
func (b *Box) Status() string { return statuses[b.severity()] }

var statuses = []string{"ok", "degraded", "degraded", "unavailable"}

// severity is 0 without a fault, and 3 with a fatal one.
func (b *Box) severity() (worst int) {
	for _, f := range b.Faults {
		worst = max(worst, 1+severity(f))
	}
	return worst
}

// Boxes returns this box and then the others, by name and ID.
func (s *Site) Boxes() []Box {
	own := s.self()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	own.Name = s.boxName(s.ID)
	boxes := []Box{own}
	for _, r := range s.boxes {
		boxes = append(boxes, s.boxOf(r, now))
	}
	slices.SortFunc(boxes[1:], func(a, b Box) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return boxes
}

func (s *Site) self() Box {
	now := time.Now()
	b := Box{ID: s.ID, Self: true, Seen: now.UTC(), Report: s.current()}
	b.Began = time.Unix(b.Report.Began, 0).UTC()
	return b
}

func (s *Site) boxOf(r *record, now time.Time) Box {
	b := Box{
		ID: r.id, Name: s.boxName(r.id), Unproved: r.unproved(), Away: r.away(now), Seen: r.seen.UTC(),
		Began: time.Unix(r.report.Began, 0).UTC(), Report: r.report,
	}
	if b.Away {
		b.Faults, b.Holdings.Downloads = nil, 0
	}
	if b.Away || now.Sub(r.seen) > askEvery+ratesOver {
		b.Rates = ledger.Counts{}
	}
	return b
}

// Sum is what boxes told, added up.
type Sum struct {
	Boxes, Away, Faulty         int
	Began                       time.Time // the first of the ledgers
	Counts, Rates               ledger.Counts
	Holdings                    Holdings
	Clients, Packages           int64
	ClientsExact, PackagesExact bool
	Worst                       *Box       // that has the worst fault; nil if none has one
	Fault                       *api.Fault // that one
	Status                      string
}

// Sum adds up this box and the others, with or without those of which nothing proves the
// figures.
func (s *Site) Sum(unproved bool) Sum {
	var sum Sum
	worst := 0
	for _, b := range s.Boxes() {
		if b.Unproved && !unproved {
			continue
		}
		sum.add(&b)
		if v := b.severity(); v > worst {
			worst, sum.Worst, sum.Fault = v, &b, &b.Faults[0]
		}
	}
	sum.Status = statuses[worst]
	t := s.count(unproved)
	sum.Clients, sum.ClientsExact, sum.Packages, sum.PackagesExact = t.clients, t.clientsExact, t.packages, t.packagesExact
	return sum
}

func (sum *Sum) add(b *Box) {
	sum.Boxes++
	if b.Away {
		sum.Away++
	}
	if len(b.Faults) > 0 {
		sum.Faulty++
	}
	if sum.Began.IsZero() || b.Began.Before(sum.Began) {
		sum.Began = b.Began
	}
	addCounts(&sum.Counts, b.Counts)
	addCounts(&sum.Rates, b.Rates)
	sum.Holdings.Blobs += b.Holdings.Blobs
	sum.Holdings.BlobBytes += b.Holdings.BlobBytes
	sum.Holdings.QuotaBytes += b.Holdings.QuotaBytes
	sum.Holdings.Downloads += b.Holdings.Downloads
}

// tally is how many clients and packages the boxes have together.
type tally struct {
	of                          int64 // Site.changed
	clients, packages           int64
	clientsExact, packagesExact bool
}

// count returns the tally; it is counted again when a set has changed.
func (s *Site) count(unproved bool) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.counted[0]
	if unproved {
		t = &s.counted[1]
	}
	if t.of == s.changed {
		return *t
	}
	own := s.details[0]
	clients := []set{{s.own.Clients, own.clientsTold, own.clients}}
	packages := []set{{s.own.Packages, true, own.packages}}
	for _, r := range s.boxes {
		if unproved || !r.unproved() {
			clients, packages = append(clients, r.clients), append(packages, r.packages)
		}
	}
	t.of = s.changed
	t.clients, t.clientsExact = union(clients)
	t.packages, t.packagesExact = union(packages)
	return *t
}

// SuiteOf is a suite as the boxes have it.
type SuiteOf struct {
	Suite           // with the worst state of the boxes that are there, and the latest check
	Worst    string // peer ID of the box with that state; "" if all have it
	Boxes    int
	Unproved bool // only boxes of which nothing proves what they tell have it
}

// maxListed bounds the suites of all boxes together.
const maxListed = 1000

// Suites returns the suites of the boxes by URL, with or without those boxes of which
// nothing proves what they tell.
func (s *Site) Suites(unproved bool) []SuiteOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	m := merged{now: now, all: make(map[string]*SuiteOf), differ: make(map[string]bool)}
	m.add(s.ID, false, false, s.details[0].suites)
	for _, id := range slices.Sorted(maps.Keys(s.boxes)) {
		if r := s.boxes[id]; unproved || !r.unproved() {
			m.add(id, r.unproved(), r.away(now), r.suites)
		}
	}
	list := make([]SuiteOf, 0, len(m.all))
	for _, url := range slices.Sorted(maps.Keys(m.all)) {
		if !m.differ[url] {
			m.all[url].Worst = ""
		}
		list = append(list, *m.all[url])
	}
	return list
}

// merged are the suites of several boxes by URL.
type merged struct {
	now    time.Time
	all    map[string]*SuiteOf
	differ map[string]bool // whether boxes that are there have another state
}

func (m *merged) add(box string, unproved, away bool, list []Suite) {
	for _, one := range list {
		known := m.all[one.URL]
		if known == nil {
			if len(m.all) == maxListed {
				continue
			}
			known = &SuiteOf{Suite: one, Worst: box, Unproved: unproved}
			m.all[one.URL] = known
		}
		known.Boxes++
		known.Unproved = known.Unproved && unproved
		if one.Checked.After(known.Checked) && !one.Checked.After(m.now.Add(maxAhead)) {
			known.Checked = one.Checked
		}
		if away || one.State == known.State {
			continue
		}
		m.differ[one.URL] = true
		if slices.Index(SuiteStates, one.State) > slices.Index(SuiteStates, known.State) {
			known.State, known.Worst = one.State, box
		}
	}
}

// PackageOf is a package as the boxes have it.
type PackageOf struct {
	Package
	Boxes int
}

// Packages returns those with which most was saved. A box tells of its first hundred.
func (s *Site) Packages(w Which) []PackageOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*PackageOf)
	add := func(list []Package) {
		for _, p := range list {
			if all[p.Name] == nil {
				all[p.Name] = &PackageOf{Package: Package{Name: p.Name}}
			}
			addCounts(&all[p.Name].Counts, p.Counts)
			all[p.Name].Boxes++
		}
	}
	if w.has(nil, s.ID) {
		add(s.details[0].top)
	}
	for _, r := range s.boxes {
		if w.has(r, s.ID) {
			add(r.top)
		}
	}
	list := make([]PackageOf, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, *all[name])
	}
	slices.SortStableFunc(list, func(a, b PackageOf) int { return cmp.Compare(b.Saved(), a.Saved()) })
	return list[:min(len(list), maxTop)]
}
