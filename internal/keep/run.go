package keep

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

const (
	// checkEvery is how often generations are compared, should nobody call Changed.
	checkEvery = time.Minute
	// auditEvery is how often every file is looked for, beside what the store tells.
	auditEvery = time.Hour
	// What fails is tried again after a minute, then after twice as long, an hour at most.
	firstRetry, lastRetry = time.Minute, time.Hour
	// turn is how long files of one system are fetched while there are others: the first
	// generation of a large one takes days.
	turn = 5 * time.Minute
)

// retry is when something that failed is tried again.
type retry struct {
	at   time.Time
	wait time.Duration
	of   digest.Digest // what was tried: something else is tried at once
}

func (t *retry) due(now time.Time, of digest.Digest) bool { return of != t.of || !now.Before(t.at) }

func (t *retry) failed(now time.Time, of digest.Digest) {
	if of != t.of {
		t.wait = 0
	}
	t.wait = min(max(2*t.wait, firstRetry), lastRetry)
	t.at, t.of = now.Add(t.wait), of
}

// Run keeps the slices until ctx ends; then it returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for err := k.start(ctx); err != nil; err = k.start(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		k.log.Error("what is kept is not readable, and is looked at again in a minute", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	if len(k.suites) == 0 {
		return nil
	}
	var watching sync.WaitGroup
	watching.Go(func() { k.watch(ctx) })
	defer watching.Wait()
	for {
		k.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-tick.C:
		}
	}
}

// start finishes what a stop interrupted, and releases what is not
// kept any more.
func (k *Keeper) start(ctx context.Context) error {
	known, err := k.files.suites()
	if err != nil || len(known)+len(k.suites) == 0 {
		return err
	}
	for _, s := range k.suites {
		if err := k.settle(s); err != nil {
			return err
		}
		delete(known, s.dir.String())
	}
	for dir := range known {
		if err := k.forget(dir); err != nil {
			return err
		}
	}
	if err := k.releaseStrays(ctx); err != nil {
		return err
	}
	for _, s := range k.suites {
		if _, err := k.audit(ctx, s); err != nil {
			return err
		}
		s.audited = time.Now()
	}
	return nil
}

// forget removes the rows of a suite that is not to be kept any more.
func (k *Keeper) forget(dir string) error {
	batch := k.files.table.Batch()
	defer batch.Cancel()
	for r, err := range k.files.of(dir) {
		if err != nil {
			return err
		}
		if err := batch.Delete(fileKey(dir, r.digest)); err != nil {
			return err
		}
	}
	if err := batch.Delete([]byte(recordKey(dir))); err != nil {
		return err
	}
	return batch.Flush()
}

// releaseStrays removes pins without a row: of suites that are not kept any more, of a
// file that was pinned just before a power cut, or of a table that was lost.
func (k *Keeper) releaseStrays(ctx context.Context) error {
	owners := make(map[string]*suite, len(k.suites))
	for _, s := range k.suites {
		owners[s.owner] = s
	}
	for info, err := range k.store.All() {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, owner := range info.Pins {
			if !strings.HasPrefix(owner, ownerPrefix) {
				continue
			}
			if s := owners[owner]; s != nil {
				if _, ok, err := k.files.get(s.dir.String(), info.Digest); err != nil || ok {
					continue
				}
			}
			if err := k.store.Unpin(info.Digest, owner); err != nil {
				k.log.Warn("pin of a file that is not kept any more stays", "digest", info.Digest, "err", err)
			}
		}
	}
	return nil
}

// watch notices files that vanish, as the scrub removes damaged ones.
func (k *Keeper) watch(ctx context.Context) {
	for e := range k.store.Watch(ctx) {
		if e.Held || e.Reset || e.Synced {
			continue
		}
		for _, s := range k.suites {
			r, ok, err := k.files.get(s.dir.String(), e.Digest)
			if err != nil || !ok {
				continue
			}
			k.update(s, func(t *State) {
				if r.complete {
					t.FilesGone++
				}
			})
			s.lost.Store(true)
			k.wake.Call()
		}
	}
}

// round does what is due.
func (k *Keeper) round(ctx context.Context) {
	all := k.systems(ctx)
	for _, y := range all {
		if ctx.Err() != nil {
			return
		}
		k.attend(ctx, y, len(all) > 1)
	}
}

// systems returns the systems of the suites that can be kept. Of the others their states
// say why not.
func (k *Keeper) systems(ctx context.Context) (all []*system) {
	byLine := make(map[string]*system)
	for _, s := range k.suites {
		gen, ok := k.generation(ctx, s)
		if !ok {
			continue
		}
		name, later := catalog.Line(s.dir, gen.Suite, gen.Codename)
		y := byLine[name]
		if y == nil {
			y = &system{line: name}
			byLine[name] = y
			all = append(all, y)
		}
		y.suites = append(y.suites, &member{s, gen, later})
	}
	for _, y := range all {
		text := y.line
		for _, m := range y.suites { // in the order of k.suites
			text += "\n" + m.dir.String() + " " + m.gen.ID.String() + " " + m.spec.String()
		}
		y.of = digest.Of([]byte(text))
	}
	return all
}

// generation returns the present one of a suite, which is asked for where it is not
// known.
func (k *Keeper) generation(ctx context.Context, s *suite) (catalog.Generation, bool) {
	gen, ok := k.catalog.Generation(s.dir, digest.Digest{})
	now := time.Now()
	if !ok && s.asked.due(now, digest.Digest{}) {
		if err := k.fetcher.Refresh(ctx, s.dir); err != nil {
			s.asked.failed(now, digest.Digest{})
			k.fail(s, err)
		}
		gen, ok = k.catalog.Generation(s.dir, digest.Digest{})
	}
	if ok && !gen.Signed {
		k.fail(s, errors.New("no key of the box signed its Release, and only signed suites are kept: "+cmp.Or(gen.Why, "no reason is known")))
		return gen, false
	}
	return gen, ok
}

// fail shows, and logs once, why a suite does not have what it is to have.
func (k *Keeper) fail(s *suite, err error) {
	text := err.Error()
	known := false
	k.update(s, func(t *State) {
		s.show(t)
		known, t.Fault = t.Fault == text, text
	})
	if !known {
		k.log.Warn("suite not kept as it should be", "suite", s.dir.String(), "err", err)
	}
}

// attend plans, fetches and switches a system, as far as each is due, and as far as it
// gets in a turn, if it has to take turns.
func (k *Keeper) attend(ctx context.Context, y *system, turns bool) {
	now := time.Now()
	suites := make([]*suite, len(y.suites))
	whole, failing := true, false
	for i, m := range y.suites {
		suites[i] = m.suite
		if m.changed.Swap(false) {
			m.again = retry{}
		}
		if m.lost.Swap(false) || now.Sub(m.audited) >= auditEvery {
			m.audited, m.again = now, retry{}
			if ok, err := k.audit(ctx, m.suite); err != nil || !ok {
				m.whole = false
			}
		}
		whole = whole && m.whole
		failing = failing || !m.again.due(now, y.of)
	}
	if failing || whole && y.planned() && allDone(suites) {
		return
	}
	var begun time.Time // of the first file
	err := k.bring(ctx, y, suites, func() error {
		switch {
		case k.superseded(y):
			return errSuperseded
		case begun.IsZero():
			begun = time.Now()
		case turns && time.Since(begun) >= k.turn:
			return errTurn
		}
		return nil
	})
	if ctx.Err() != nil {
		return
	}
	stopped := errors.Is(err, errSuperseded) || errors.Is(err, errTurn)
	for _, m := range y.suites {
		m.whole = err == nil
		if err == nil {
			m.again = retry{}
			k.update(m.suite, func(t *State) { t.Fault = "" })
			continue
		}
		if !stopped {
			m.again.failed(time.Now(), y.of)
			k.fail(m.suite, err)
		}
	}
	if stopped {
		k.wake.Call()
	}
	var room *roomError
	if err != nil && !stopped && !errors.As(err, &room) {
		k.refresh(ctx, suites)
	}
}

func allDone(suites []*suite) bool {
	return !slices.ContainsFunc(suites, func(s *suite) bool { return !s.record.done() })
}

// superseded reports whether a suite has a newer generation than the system is to have.
func (k *Keeper) superseded(y *system) bool {
	return slices.ContainsFunc(y.suites, func(m *member) bool {
		gen, ok := k.catalog.Generation(m.dir, digest.Digest{})
		return ok && gen.ID != m.gen.ID
	})
}

// bring brings a system to the generations that it is to have. over ends that early.
func (k *Keeper) bring(ctx context.Context, y *system, suites []*suite, over func() error) error {
	if !y.planned() {
		if err := k.plan(ctx, y); err != nil {
			return err
		}
	}
	for _, s := range suites {
		if _, err := k.audit(ctx, s); err != nil {
			return err
		}
	}
	if err := k.fetch(ctx, suites, over); err != nil {
		return err
	}
	// What vanished meanwhile is missing again.
	whole := true
	for _, s := range suites {
		ok, err := k.audit(ctx, s)
		if err != nil {
			return err
		}
		whole = whole && ok
	}
	if !whole {
		return errors.New("files vanished while others were fetched")
	}
	if allDone(suites) {
		return nil
	}
	if err := k.switchTo(suites, time.Now()); err != nil {
		return err
	}
	for _, s := range suites {
		if _, err := k.audit(ctx, s); err != nil {
			return err
		}
		k.log.Info("slice complete", "suite", s.dir.String(), "generation", s.record.Complete, "files", s.record.Files, "bytes", s.record.Bytes, "lacks", len(s.record.Lacks)+s.record.MoreLacks)
	}
	return nil
}

// refresh asks the mirror for newer generations, as it may not have files of the present
// ones any more.
func (k *Keeper) refresh(ctx context.Context, suites []*suite) {
	for _, s := range suites {
		before, _ := k.catalog.Generation(s.dir, digest.Digest{})
		if err := k.fetcher.Refresh(ctx, s.dir); err != nil {
			k.log.Debug("no newer generation", "suite", s.dir.String(), "err", err)
			continue
		}
		if gen, _ := k.catalog.Generation(s.dir, digest.Digest{}); gen.ID != before.ID {
			k.wake.Call()
		}
	}
}
