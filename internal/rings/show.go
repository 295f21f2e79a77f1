package rings

import (
	"slices"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Shown is a ring as a person sees it.
type Shown struct {
	Definition
	Setting bool // it is one of MILLPOND_RINGS
	Suites  int
	Held    int   // of Suites
	Bytes   int64 // of packages that it holds
	Share   int64 // how many it may hold
	Full    bool
}

// Generation is a Release that a ring has, or is to get.
type Generation struct {
	ID         digest.Digest
	Date       time.Time
	ValidUntil time.Time // zero: no end
}

// Lane is what a ring has of a suite.
type Lane struct {
	Suite    catalog.Location
	Present  Generation
	Since    time.Time
	Held     bool
	Security bool
	Next     *Generation // what it gets next by itself, nil if there is nothing yet, or it is held
	Due      time.Time   // when it gets Next
	Latest   *Generation // what a promotion would bring now, nil if nothing
	Former   *Generation // what a rollback leads to, nil if nothing
	Expiry   string      // what is wrong with how long Present is valid, and what to do
}

func shown(s step) Generation {
	return Generation{ID: s.Generation, Date: s.Date, ValidUntil: s.ValidUntil}
}

// List returns all rings, each after the one that it comes after.
func (r *Rings) List() (all []Shown) {
	r.mu.Lock()
	for _, name := range r.names() {
		if of := r.rings[name]; name != "" {
			s := Shown{Definition: of.Definition, Setting: of.setting, Suites: len(of.lanes)}
			for _, l := range of.lanes {
				if l.Held {
					s.Held++
				}
			}
			all = append(all, s)
		}
	}
	r.mu.Unlock()
	for i := range all {
		s := &all[i]
		s.Bytes, s.Share = r.pins.pinned(s.Name), r.share(s.Name)
		r.faults.mu.Lock()
		s.Full = r.faults.full[s.Name]
		r.faults.mu.Unlock()
	}
	return all
}

// Lanes returns what a ring has, by suite.
func (r *Rings) Lanes(name string) ([]Lane, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, err := r.ring(name)
	if err != nil {
		return nil, err
	}
	now := r.now()
	all := []Lane{}
	for _, suite := range of.sortedSuites() {
		all = append(all, r.show(of, suite, now))
	}
	return all, nil
}

// show describes one lane. The caller holds mu.
func (r *Rings) show(of *ring, suite catalog.Location, now time.Time) Lane {
	l := of.lanes[suite]
	g, _ := r.catalog.Generation(suite, digest.Digest{})
	s := Lane{
		Suite: suite, Present: shown(l.present()), Since: l.Moved, Held: l.Held,
		Security: isSecurity(suite, g), Expiry: r.expiry(of, suite, l, now),
	}
	if f, ok := l.former(); ok {
		former := shown(f)
		s.Former = &former
	}
	parent, delay := r.parent(of, suite)
	if parent == nil {
		return s
	}
	if latest := parent.present(); !latest.same(l.present()) {
		v := shown(latest)
		s.Latest = &v
	}
	if l.Held {
		return s
	}
	i := slices.IndexFunc(parent.Steps, func(p step) bool {
		return p.Since.After(l.present().Parent) && !p.same(l.present())
	})
	if i >= 0 {
		v := shown(parent.Steps[i])
		s.Next, s.Due = &v, parent.Steps[i].Since.Add(delay)
	}
	return s
}
