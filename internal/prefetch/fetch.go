package prefetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

const (
	// parallel is how many files are fetched at once: enough to hide the
	// round trip between two, and few beside the requests of clients.
	parallel = 2
	// maxFailures is how many files in a row may fail before the rest is left
	// out: with the mirror unreachable all would fail.
	maxFailures = 8
	// minFree is the share of the disk below which nothing is prefetched,
	// whatever the quota leaves: the store also evicts when other programs fill
	// the disk, from 1 % free on.
	minFree = 0.05
	// lookEvery is how often it is looked whether clients wait.
	lookEvery = 250 * time.Millisecond
	// giveWayAfter is how long a client may have to share the way to the mirror with a
	// file that was begun before: most are there by then.
	giveWayAfter = 2 * time.Second
)

// errGaveWay ends the download of a file that a client's came after.
var errGaveWay = errors.New("a client waits for a download")

// job is a file of a package to fetch.
type job struct {
	entry catalog.Entry
	plan  *plan
	want  *want           // that it is a part of
	left  *int            // files of want that are not held yet
	old   []digest.Digest // what it may replace
}

// result is how a job ended.
type result struct {
	*job
	Brought
	err error
}

// fetchPlan fetches what is wanted and not held.
func (s *Prefetcher) fetchPlan(ctx context.Context, r *run, p *plan) error {
	if err := s.confirm(p); err != nil {
		return err
	}
	var jobs []*job
	for i := range p.wants {
		w := &p.wants[i]
		files := slices.DeleteFunc(slices.Clone(w.files), func(e catalog.Entry) bool { return s.held(e.Digest) })
		if len(files) == 0 {
			s.uses.Fetched(w.key, w.version)
		}
		left := len(files)
		for _, e := range files {
			jobs = append(jobs, &job{entry: e, plan: p, want: w, left: &left})
		}
	}
	return s.fetch(ctx, r, jobs)
}

// fetch has the store hold the files in order, as far as there is room and budget. What
// found no room is tried once more when others have superseded something.
func (s *Prefetcher) fetch(ctx context.Context, r *run, jobs []*job) error {
	s.expect(r, jobs)
	noRoom, err := s.pass(ctx, r, jobs)
	if err == nil && len(noRoom) > 0 && len(r.spare) > 0 {
		noRoom, err = s.pass(ctx, r, noRoom)
	}
	s.count(func(t *State) { t.NoRoom += int64(len(noRoom)) })
	return err
}

// pass fetches files and returns those for which there is no room.
func (s *Prefetcher) pass(ctx context.Context, r *run, jobs []*job) (noRoom []*job, err error) {
	var (
		results = make(chan result, parallel)
		running int
		failed  int // in a row
		last    error
	)
	jobs = slices.Clone(jobs)
	collect := func() {
		t := <-results
		running--
		if e := s.settle(r, t); e != nil {
			err = e
		}
		switch {
		case errors.Is(t.err, errGaveWay):
			jobs = slices.Insert(jobs, 0, t.job)
		case store.Unkept(t.err):
			noRoom = append(noRoom, t.job)
			failed = 0
		case t.err == nil:
			failed = 0
		default:
			failed, last = failed+1, t.err
		}
	}
	for len(jobs) > 0 || running > 0 {
		if running == parallel || len(jobs) == 0 {
			collect()
			continue
		}
		s.letClientsPass(ctx)
		if ctx.Err() != nil || failed >= maxFailures || err != nil {
			jobs = nil
			continue
		}
		j := jobs[0]
		jobs = jobs[1:]
		ok, e := s.prepare(r, j)
		switch {
		case e != nil:
			err = e
		case !ok:
		case !s.diskHasRoom():
			noRoom = append(noRoom, j)
		default:
			if err = s.account.Spend(max(j.entry.Size, 0)); err != nil {
				continue
			}
			running++
			j.entry = s.catalog.Vouch(j.entry)
			old := append(slices.Clone(j.old), r.spare...)
			go func() {
				b, err := s.ahead(ctx, j.entry, old)
				results <- result{j, b, err}
			}()
		}
	}
	if failed >= maxFailures && ctx.Err() == nil {
		r.later = true
		err = fmt.Errorf("given up after %d failures in a row: %w", failed, last)
	}
	return noRoom, err
}

// prepare finds out what a file may replace. It is not ok if the day's budget is too
// small for it.
func (s *Prefetcher) prepare(r *run, j *job) (ok bool, err error) {
	if !r.manual && j.entry.Size > s.account.Left() {
		// One that is larger than the budget ever is does not wait for another day.
		r.later = r.later || j.entry.Size <= s.account.Most()
		s.count(func(t *State) { t.NoBudget++ })
		return false, nil
	}
	j.old, err = s.superseded(j.plan, j.want)
	return err == nil, err
}

// diskHasRoom reports whether the disk has, whatever the quota leaves.
func (s *Prefetcher) diskHasRoom() bool {
	free, err := s.store.DiskFree()
	return err == nil && free >= minFree
}

// letClientsPass returns when no client waits for a download.
func (s *Prefetcher) letClientsPass(ctx context.Context) {
	for ctx.Err() == nil && s.fetcher.ClientsWait() {
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
		}
	}
}

// ahead fetches a file until it has to give way.
func (s *Prefetcher) ahead(ctx context.Context, e catalog.Entry, old []digest.Digest) (Brought, error) {
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for waits := time.Duration(0); ctx.Err() == nil; {
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
			}
			if waits += lookEvery; !s.fetcher.ClientsWait() {
				waits = 0
			}
			if waits >= giveWayAfter {
				stop(errGaveWay)
			}
		}
	})
	defer watching.Wait()
	defer stop(nil)
	return s.fetcher.Ahead(ctx, e, old)
}

// settle accounts for a job that ended. The error says that this cannot be written down.
func (s *Prefetcher) settle(r *run, t result) error {
	size, taken := max(t.entry.Size, 0), t.Peers+t.Mirrors
	if t.Asked {
		s.account.Asked(t.entry.Digest)
		taken = 0
	} else {
		s.account.Took(r.wave, t.entry.Digest, size, t.Peers, t.Mirrors, t.err == nil)
	}
	if t.err == nil {
		if *t.left--; *t.left == 0 {
			s.uses.Fetched(t.want.key, t.want.version)
			r.free(t.old, s.held)
		}
	}
	s.count(func(st *State) {
		switch {
		case t.err == nil:
			st.FilesDone++
			st.BytesDone += size
		case store.Unkept(t.err), errors.Is(t.err, errGaveWay), errors.Is(t.err, context.Canceled):
		default:
			st.FilesFailed++
			s.log.Warn("file not prefetched", "url", t.entry.Location.String(), "err", t.err)
		}
	})
	return s.account.Spend(taken - size)
}

// count changes the figures of the running prefetch.
func (s *Prefetcher) count(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}
