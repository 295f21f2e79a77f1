package rings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

// maxLanes bounds the suites of one ring. Beyond it the one that was not used for the
// longest time gives way, and is served as it is in force.
const maxLanes = 512

// isSecurity reports whether the name of a suite says that it has security updates: its
// directory, or what its Release calls it.
func isSecurity(suite catalog.Location, g catalog.Generation) bool {
	for _, name := range []string{suite.Path, g.Suite, g.Codename, g.Label} {
		if strings.Contains(strings.ToLower(name), "security") {
			return true
		}
	}
	return false
}

// parent returns the lane that the ring's one of a suite gets its generations from, and
// after which delay. The caller holds mu.
func (r *Rings) parent(of *ring, suite catalog.Location) (l *lane, delay time.Duration) {
	if of.Security {
		if g, _ := r.catalog.Generation(suite, digest.Digest{}); isSecurity(suite, g) {
			return r.rings[""].lanes[suite], 0
		}
	}
	return r.rings[of.After].lanes[suite], of.Delay
}

// evaluate moves each lane to what is due, and reports whether anything changed.
func (r *Rings) evaluate() (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, name := range r.names() {
		of := r.rings[name]
		for suite, l := range of.lanes {
			if r.advance(of, suite, l, now) {
				changed = true
				r.save(name, suite, l)
			}
			r.warnOfExpiry(of, suite, l, now)
		}
	}
	if changed {
		r.hold()
	}
	return changed
}

// advance moves one lane, and reports whether it changed. The caller holds mu.
func (r *Rings) advance(of *ring, suite catalog.Location, l *lane, now time.Time) (changed bool) {
	l.clamp(now)
	if of.Name == "" {
		if g, ok := r.catalog.Generation(suite, digest.Digest{}); ok && g.Signed && !g.Private {
			changed = l.add(stepOf(g, now, now))
		}
	} else if parent, delay := r.parent(of, suite); parent != nil {
		var moved bool
		if moved, changed = l.advance(parent, now, delay); moved {
			r.log.Info("ring promoted", "ring", of.Name, "suite", suite.String(), "generation", l.present().Generation.Short(), "date", l.present().Date)
		}
	}
	return l.prune(now.Add(-r.longest(of.Name))) || changed
}

// longest is the longest delay of the rings that come after one. The caller holds mu.
func (r *Rings) longest(name string) (most time.Duration) {
	for _, o := range r.rings {
		if o.Name != "" && o.After == name {
			most = max(most, o.Delay)
		}
	}
	return most
}

// warnOfExpiry says once that apt refuses, or is going to refuse, what a ring has. The
// caller holds mu.
func (r *Rings) warnOfExpiry(of *ring, suite catalog.Location, l *lane, now time.Time) {
	if why := r.expiry(of, suite, l, now); why != "" && l.warned != l.present().Generation {
		l.warned = l.present().Generation
		r.log.Warn("Release of a ring expires before it gets another one", "ring", of.Name, "suite", suite.String(), "err", errors.New(why))
	}
}

// expiry says what is wrong with how long the Release is valid that a ring has, and what
// to do, "" if nothing is. What is in force is the archive's concern. The caller holds mu.
func (r *Rings) expiry(of *ring, suite catalog.Location, l *lane, now time.Time) string {
	p := l.present()
	base := r.rings[""].lanes[suite]
	if of.Name == "" || p.ValidUntil.IsZero() || base == nil || base.present().same(p) {
		return ""
	}
	until := p.ValidUntil.UTC().Format("2006-01-02 15:04 MST")
	const cure = "promote the ring, or set Acquire::Check-Valid-Until \"false\" for its clients' apt"
	parent, delay := r.parent(of, suite)
	switch {
	case !p.ValidUntil.After(now):
		return fmt.Sprintf("it was valid until %s, and apt refuses it: %s", until, cure)
	case l.Held:
		return fmt.Sprintf("it is valid until %s, and the ring is held: %s before that", until, cure)
	case parent != nil:
		if _, next := parent.due(now, delay); next == nil || p.ValidUntil.Before(next.Since.Add(delay)) {
			return fmt.Sprintf("it is valid until %s, and the ring gets no other one before that: %s", until, cure)
		}
	}
	return ""
}

// lane returns a ring's lane of a suite, which begins now if there was none: with the
// generation that is due or, if none is, the one that the ring before it has. It is nil
// if the suite is not one that rings are for. The caller holds mu.
func (r *Rings) lane(of *ring, suite catalog.Location, now time.Time) *lane {
	if l := of.lanes[suite]; l != nil {
		return l
	}
	var l *lane
	if of.Name == "" {
		l = r.firstLane(suite)
	} else if r.lane(r.rings[""], suite, now) != nil {
		r.lane(r.rings[of.After], suite, now)
		parent, delay := r.parent(of, suite)
		l = &lane{Steps: slices.Clone(parent.Steps), Moved: now}
		if due, next := parent.due(now, delay); due != nil && next != nil {
			l.Steps = l.Steps[:slices.Index(parent.Steps, *due)+1]
		}
		for i := range l.Steps {
			l.Steps[i].Parent = l.Steps[i].Since
		}
	}
	if l == nil {
		return nil
	}
	l.Used = now
	of.lanes[suite] = l
	r.save(of.Name, suite, l)
	r.limitLanes(of)
	return l
}

// firstLane is what was in force of a suite since the box knows, nil if rings are not for
// it: nobody vouches for it, or it takes a login.
func (r *Rings) firstLane(suite catalog.Location) *lane {
	g, ok := r.catalog.Generation(suite, digest.Digest{})
	if !ok || !g.Signed || g.Private {
		return nil
	}
	moments := r.catalog.Moments(suite)
	slices.SortStableFunc(moments, func(a, b catalog.Moment) int { return a.Learned.Compare(b.Learned) })
	l := &lane{}
	for _, m := range moments {
		if s := stepOf(m.Generation, m.Learned, m.Learned); m.ID != g.ID && !m.Private && (len(l.Steps) == 0 || !l.present().same(s)) {
			l.Steps = append(l.Steps, s)
		}
	}
	s := stepOf(g, g.Learned, g.Learned)
	if len(l.Steps) == 0 || !l.present().same(s) {
		l.Steps = append(l.Steps, s)
	}
	l.Steps = l.Steps[max(len(l.Steps)-maxSteps, 0):]
	l.Moved = l.present().Since
	return l
}

// limitLanes forgets the lanes of a ring that are too many.
func (r *Rings) limitLanes(of *ring) {
	for len(of.lanes) > maxLanes {
		var oldest catalog.Location
		for suite, l := range of.lanes {
			if o := of.lanes[oldest]; o == nil || l.Used.Before(o.Used) {
				oldest = suite
			}
		}
		r.forget(of, oldest)
		r.log.Warn("ring has too many suites: the one that was not used for the longest time is served as it is in force",
			"ring", of.Name, "suite", oldest.String(), "most", maxLanes)
	}
}

// prepare gets the indices of what came into force, as far as clients used those of the
// generation before: when a ring gets there, the mirror may have them no more.
func (r *Rings) prepare(ctx context.Context) {
	r.mu.Lock()
	var suites []catalog.Location
	for suite, l := range r.rings[""].lanes {
		if l.present().Generation != l.prepared {
			suites = append(suites, suite)
			l.prepared = l.present().Generation
		}
	}
	r.mu.Unlock()
	for _, suite := range suites {
		wanted, err := r.catalog.Successors(suite, func(d digest.Digest) bool { _, err := r.store.Stat(d); return err == nil })
		if err != nil {
			r.log.Warn("indices of a new generation not fetched for rings", "suite", suite.String(), "err", err)
		}
		for _, e := range wanted {
			if ctx.Err() != nil {
				return
			}
			if err := r.keepOne(ctx, e); err != nil {
				r.log.Debug("index not fetched for rings", "url", e.Location.String(), "err", err)
			}
		}
	}
}

// keepTimeout bounds the fetching of one index for rings; a later request of a client
// fetches it, too.
const keepTimeout = 2 * time.Minute

func (r *Rings) keepOne(ctx context.Context, e catalog.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	return r.fetcher.Keep(ctx, e)
}

// save writes a lane down. One that cannot be written is as it is now until the box
// restarts. The caller holds mu.
func (r *Rings) save(ring string, suite catalog.Location, l *lane) {
	if err := kv.PutJSON(r.table, laneKey(ring, suite), l); err != nil {
		r.log.Warn("state of a ring not written, a restart would lose it", "ring", ring, "suite", suite.String(), "err", err)
	}
}

// forget removes a lane. The caller holds mu.
func (r *Rings) forget(of *ring, suite catalog.Location) {
	delete(of.lanes, suite)
	if err := r.table.Delete([]byte(laneKey(of.Name, suite))); err != nil {
		r.log.Warn("state of a ring not removed", "ring", of.Name, "suite", suite.String(), "err", err)
	}
}

// Keys of the table: a lane by ring and suite, and the definition of a ring that was made
// through the API.
const (
	lanePrefix = "lane/"
	ringPrefix = "ring/"
)

func laneKey(ring string, suite catalog.Location) string {
	return lanePrefix + ring + "/" + suite.String()
}
