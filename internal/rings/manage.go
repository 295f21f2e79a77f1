package rings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/kv"
)

// InvalidError says what is wrong with a ring that is to be made.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// Create makes a ring, which lasts until Delete. The error is an InvalidError if it cannot exist.
func (r *Rings) Create(d Definition) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := append(r.definitions(), d).Check(); err != nil {
		return &InvalidError{err}
	}
	if err := kv.PutJSON(r.table, ringPrefix+d.Name, d); err != nil {
		return fmt.Errorf("writing the ring %s: %w", d.Name, err)
	}
	r.rings[d.Name] = newRing(d, false)
	r.log.Info("ring created", "ring", d.Name, "after", d.After, "delay", d.Delay)
	return nil
}

// Delete removes a ring that Create made. Its clients are served what is in force.
func (r *Rings) Delete(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, err := r.ring(name)
	if err != nil {
		return err
	}
	if of.setting {
		return ErrSetting
	}
	for _, o := range r.rings {
		if o.After == name {
			return fmt.Errorf("%w: %s", ErrFollowed, o.Name)
		}
	}
	if err := r.table.Delete([]byte(ringPrefix + name)); err != nil {
		return fmt.Errorf("removing the ring %s: %w", name, err)
	}
	for suite := range maps.Clone(of.lanes) {
		r.forget(of, suite)
	}
	delete(r.rings, name)
	r.changed()
	r.log.Info("ring deleted", "ring", name)
	return nil
}

// ring returns the ring of that name. The caller holds mu.
func (r *Rings) ring(name string) (*ring, error) {
	of := r.rings[name]
	if name == "" || of == nil {
		return nil, ErrNoRing
	}
	return of, nil
}

// changed tells catalog and Run that lanes have changed. The caller holds mu.
func (r *Rings) changed() {
	r.hold()
	r.wake.Call()
}

// each calls do for a ring's lane of a suite, or for each of its lanes if the suite is
// zero, and writes down those that it changed. They are all left as they were if do
// fails for a single one.
func (r *Rings) each(name string, suite catalog.Location, do func(of *ring, suite catalog.Location, l *lane) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, err := r.ring(name)
	if err != nil {
		return err
	}
	lanes := maps.Clone(of.lanes)
	if suite != (catalog.Location{}) {
		l := of.lanes[suite]
		if l == nil {
			return ErrNoLane
		}
		lanes = map[catalog.Location]*lane{suite: l}
	}
	done := 0
	for suite, l := range lanes {
		if err = do(of, suite, l); err != nil {
			continue
		}
		done++
		r.save(name, suite, l)
	}
	r.changed()
	if done > 0 {
		return nil
	}
	return err
}

// Hold has a ring stay with what it has of a suite, or of all if that is zero, or ends
// that.
func (r *Rings) Hold(name string, suite catalog.Location, hold bool) error {
	return r.each(name, suite, func(_ *ring, suite catalog.Location, l *lane) error {
		if l.Held == hold {
			return nil
		}
		if l.Held = hold; hold {
			r.log.Info("ring held", "ring", name, "suite", suite.String())
		} else {
			r.log.Info("ring not held any more", "ring", name, "suite", suite.String())
		}
		return nil
	})
}

// Promote gives a ring at once the latest that the one before it has of a suite, or of
// all if that is zero, and ends a hold.
func (r *Rings) Promote(name string, suite catalog.Location) error {
	r.evaluate()
	return r.each(name, suite, func(of *ring, suite catalog.Location, l *lane) error {
		parent, _ := r.parent(of, suite)
		if parent == nil {
			return ErrNoLane
		}
		if l.promote(parent, r.now()) {
			r.log.Info("ring promoted by an administrator", "ring", name, "suite", suite.String(), "generation", l.present().Generation.Short(), "date", l.present().Date)
		}
		return nil
	})
}

// RollBack gives a ring the generation of a suite, or of all if that is zero, that it had
// before, and holds it there. The one that it had is not given to rings after it, and
// comes back by Promote only.
func (r *Rings) RollBack(name string, suite catalog.Location) error {
	r.evaluate()
	return r.each(name, suite, func(_ *ring, suite catalog.Location, l *lane) error {
		to, ok := l.former()
		if !ok {
			return ErrNoFormer
		}
		if _, known := r.catalog.Generation(suite, to.Generation); !known {
			return ErrNoFormer
		}
		from, _ := l.rollBack(r.now())
		r.log.Info("ring rolled back by an administrator, and held", "ring", name, "suite", suite.String(),
			"from", from.Generation.Short(), "generation", to.Generation.Short(), "date", to.Date)
		return nil
	})
}

// sortedSuites are the suites of a ring's lanes. The caller holds mu.
func (of *ring) sortedSuites() []catalog.Location {
	return slices.SortedFunc(maps.Keys(of.lanes), func(a, b catalog.Location) int { return strings.Compare(a.String(), b.String()) })
}
