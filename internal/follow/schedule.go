package follow

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
)

const (
	// interval is how often a mirror is asked about a followed suite. Debian publishes
	// every six hours, its security archive at any time, so that a fix is here within
	// the quarter of an hour. A check is a conditional request, 96 a day: what clients
	// cost that update twice a day, when there are 48 of them.
	interval = 15 * time.Minute
	// jitter is by how much of it a check comes earlier or later, so that the boxes of
	// many sites do not all come at once.
	jitter = 0.2
	// firstRetry is when a failed check is repeated; the time doubles with each failure
	// in a row, up to lastRetry.
	firstRetry = 2 * time.Minute
	lastRetry  = 4 * time.Hour
	// atStart is within which time the suites of the setting are asked about after a
	// start. Others take interval for it: their clients ask themselves.
	atStart = 5 * time.Second
	// maxRunning bounds the mirrors that are asked at once.
	maxRunning = 8
	// turn bounds how long a suite's mirror may take for all that is missing. The next
	// turn goes on with it.
	turn = 20 * time.Minute
	// syncEvery is the least time between two looks at what the catalog has.
	syncEvery = time.Second
	// lookEvery is how often it is looked at although nothing says that it has changed:
	// suites fall out of use.
	lookEvery = time.Minute
)

// jittered is d, some of it more or less.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + jitter*(2*rand.Float64()-1)))
}

// retry is when a suite is asked about again after so many failures in a row.
func retry(failures int) time.Duration {
	d := firstRetry
	for i := 1; i < failures && d < lastRetry; i++ {
		d *= 2
	}
	return jittered(min(d, lastRetry))
}

// Run follows suites until ctx ends, and returns nil then.
func (f *Follower) Run(ctx context.Context) error {
	if f.offline {
		<-ctx.Done()
		return nil
	}
	var turns errgroup.Group
	defer func() { _ = turns.Wait() }() // their errors are in the state
	for {
		progress := f.catalog.Progress()
		f.sync(f.catalog.Suites(), time.Now())
		for _, s := range f.due(time.Now()) {
			turns.Go(func() error {
				f.take(ctx, s)
				return nil
			})
		}
		if f.wait(ctx, progress); ctx.Err() != nil {
			return nil
		}
	}
}

// wait waits until something may be due: after syncEvery, when the catalog has changed
// or a turn is over, or when the next check is.
func (f *Follower) wait(ctx context.Context, progress <-chan struct{}) {
	next := time.NewTimer(f.untilNext(time.Now()))
	defer next.Stop()
	select {
	case <-ctx.Done():
		return
	case <-progress:
	case <-f.ended:
	case <-next.C:
	}
	select {
	case <-ctx.Done():
	case <-time.After(syncEvery):
	}
}

// untilNext is when the next suite is due, and lookEvery at most.
func (f *Follower) untilNext(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := lookEvery
	for _, s := range f.suites {
		if !s.running {
			d = min(d, s.next.Sub(now))
		}
	}
	return max(d, 0)
}

// sync brings the followed suites into step with what the catalog has.
func (f *Follower) sync(known []catalog.SuiteInfo, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	start := len(f.suites) == 0
	wanted := make(map[catalog.Location]bool)
	for dir, entries := range f.entries {
		wanted[dir] = true
		if f.suites[dir] == nil {
			f.suites[dir] = &suite{dir: dir, entries: entries, next: now.Add(rand.N(atStart))}
		}
	}
	for _, info := range f.chosen(known, now) {
		dir := info.Location
		wanted[dir] = true
		if f.suites[dir] == nil {
			f.suites[dir] = &suite{dir: dir, next: now.Add(rand.N(interval))}
		}
	}
	if start && len(f.suites) > 0 {
		f.log.Info("following suites", "suites", len(f.suites), "by_setting", len(f.entries))
	}
	for _, info := range known {
		if s := f.suites[info.Location]; s != nil {
			s.used, s.now, s.date = info.Used, info.Current.ID, info.Current.Date
		}
	}
	for dir := range f.suites {
		if !wanted[dir] {
			delete(f.suites, dir)
		}
	}
}

// chosen returns the suites that are followed since clients use them: as many as there
// is room for, the last used first. f.mu is held.
func (f *Follower) chosen(known []catalog.SuiteInfo, now time.Time) []catalog.SuiteInfo {
	var all []catalog.SuiteInfo
	for _, info := range known {
		if f.entries[info.Location] == nil && now.Sub(info.Used) < unused {
			all = append(all, info)
		}
	}
	slices.SortStableFunc(all, func(a, b catalog.SuiteInfo) int { return b.Used.Compare(a.Used) })
	left := max(len(all)-max(maxFollowed-len(f.entries), 0), 0)
	if left > 0 && f.leftOut == 0 {
		f.log.Warn("more suites in use than are followed; those used last are", "followed", maxFollowed, "left_out", left)
	}
	f.leftOut = left
	return all[:len(all)-left]
}

// due returns the suites whose turn it is, at most one of a mirror's host, and marks
// them. One is due when its mirror is to be asked, or a generation has come into force.
func (f *Follower) due(now time.Time) []*suite {
	f.mu.Lock()
	defer f.mu.Unlock()
	busy := make(map[string]bool)
	var ready []*suite
	for _, s := range f.suites {
		switch {
		case s.running:
			busy[s.dir.Host] = true
		case !s.next.After(now), s.came():
			ready = append(ready, s)
		}
	}
	slices.SortFunc(ready, func(a, b *suite) int {
		return cmp.Or(a.next.Compare(b.next), strings.Compare(a.dir.String(), b.dir.String()))
	})
	var chosen []*suite
	for _, s := range ready {
		if !busy[s.dir.Host] && len(busy) < maxRunning {
			busy[s.dir.Host], s.running = true, true
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// came reports whether a generation has come into force of which nothing was tried yet.
func (s *suite) came() bool { return !s.now.IsZero() && s.now != s.settled && s.now != s.tried }

// compare orders suites as State lists them.
func (a Suite) compare(b Suite) int {
	if a.Setting() != b.Setting() {
		if a.Setting() {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Location.String(), b.Location.String())
}
