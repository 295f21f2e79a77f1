package rings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Generation returns the generation of a suite that a ring has; zero where its clients
// are served as if there were no ring: it has what is in force, or nobody asked for the
// suite's Release yet.
func (r *Rings) Generation(name string, suite catalog.Location) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.rings[name]
	if of == nil || name == "" {
		return digest.Digest{}
	}
	l := of.lanes[suite]
	if l == nil {
		return digest.Digest{}
	}
	p, base := l.present(), r.rings[""].lanes[suite]
	parent, delay := r.parent(of, suite)
	if parent == base && delay == 0 && !l.Held && base != nil && base.present().same(p) {
		return digest.Digest{} // a Release that comes just now is the ring's, too
	}
	if _, ok := r.catalog.Generation(suite, p.Generation); !ok {
		return digest.Digest{} // forgotten for lack of room
	}
	return p.Generation
}

// Begin has a ring follow a suite, whose Release a client of the ring asks for.
func (r *Rings) Begin(name string, suite catalog.Location) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.rings[name]
	if of == nil || name == "" {
		return
	}
	now := r.now()
	fresh := of.lanes[suite] == nil
	l := r.lane(of, suite, now)
	if l == nil {
		return
	}
	if now.Sub(l.Used) >= time.Hour {
		l.Used = now
		r.save(name, suite, l)
	}
	if fresh {
		r.hold()
		r.wake.Call()
	}
}

var (
	// ErrFuture says that a time is to come.
	ErrFuture = errors.New("that time is to come, and what the archive has then is not known")
	// ErrNoMoment says that no generation of a suite is held from a time.
	ErrNoMoment = errors.New("no generation of this suite is held from that time or before")
)

// At returns the generation of a suite that its archive had at a time, by the dates of
// its Releases. A suite that no client has used is asked for first.
func (r *Rings) At(ctx context.Context, suite catalog.Location, t time.Time) (digest.Digest, error) {
	if t.After(r.now()) {
		return digest.Digest{}, ErrFuture
	}
	g, ok := r.catalog.At(suite, t)
	if !ok {
		if _, known := r.catalog.Generation(suite, digest.Digest{}); !known {
			if err := r.fetcher.Refresh(ctx, suite); err != nil {
				return digest.Digest{}, err
			}
			g, ok = r.catalog.At(suite, t)
		}
	}
	if !ok {
		return digest.Digest{}, r.noMoment(suite)
	}
	return g.ID, nil
}

// noMoment says from when on there are generations of a suite, or why there are none.
func (r *Rings) noMoment(suite catalog.Location) error {
	all := r.catalog.Moments(suite)
	if len(all) == 0 {
		return ErrNoMoment
	}
	all = slices.DeleteFunc(all, func(m catalog.Moment) bool { return m.Private })
	if len(all) == 0 {
		return fmt.Errorf("%w: it came with a login, and of such suites the box keeps no earlier ones", ErrNoMoment)
	}
	return fmt.Errorf("%w; the first one is of %s", ErrNoMoment, all[len(all)-1].Date.UTC().Format(TimeFormat))
}

// InForceAt returns the generation that At does, of a suite that is known; zero for none.
func (r *Rings) InForceAt(suite catalog.Location, t time.Time) digest.Digest {
	g, _ := r.catalog.At(suite, t)
	return g.ID
}

// TimeFormat is how the time of a snapshot is written.
const TimeFormat = "20060102T150405Z"

// ParseTime reads the time of a snapshot, or a day, which stands for its first moment.
func ParseTime(s string) (time.Time, error) {
	for _, format := range []string{TimeFormat, "20060102"} {
		if t, err := time.Parse(format, s); err == nil && len(s) == len(format) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time; write it as 20260131T235959Z, in UTC, or 20260131", s)
}

// Dated returns where a dated archive has the file at l as it was at a time; zero if none
// is known.
func (r *Rings) Dated(l catalog.Location, t time.Time) catalog.Location {
	for archive, below := range r.dated {
		moved := l.Moved(archive, below.Join(t.UTC().Format(TimeFormat)))
		if moved != l {
			return moved
		}
	}
	return catalog.Location{}
}

// DatedIn is Dated for a file of a ring's generation of some suite: of the last moment
// when the archive had that.
func (r *Rings) DatedIn(name string, l catalog.Location) catalog.Location {
	if len(r.dated) == 0 {
		return catalog.Location{}
	}
	r.mu.Lock()
	var at time.Time
	if of := r.rings[name]; of != nil {
		for suite, lane := range of.lanes {
			if l.InArchiveOf(suite) && lane.present().Date.After(at) {
				at = lane.present().Date
			}
		}
	}
	r.mu.Unlock()
	if at.IsZero() {
		return catalog.Location{}
	}
	return r.Dated(l, at)
}
