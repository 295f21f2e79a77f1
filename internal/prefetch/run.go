package prefetch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/prefetch/account"
)

// run is one prefetch. It belongs to the goroutine of prefetchAll.
type run struct {
	wave   int64 // in the account; 0 as long as there is nothing to fetch
	manual bool
	suites []string // URLs
	faults faults
	// spare are files that something superseded that was fetched since, and that were
	// held then; at most maxSpare.
	spare []digest.Digest
	later bool // what is left may be fetched later
}

func newRun(manual bool, dirs []catalog.Location) *run {
	r := &run{manual: manual}
	for _, dir := range dirs {
		r.suites = append(r.suites, dir.String())
	}
	return r
}

// expect enters a run in the account when it has something to fetch.
func (s *Prefetcher) expect(r *run, jobs []*job) {
	if r.wave == 0 && len(jobs) > 0 {
		r.wave = s.account.Begin(r.manual, r.suites)
	}
	s.count(func(t *State) {
		t.Files += int64(len(jobs))
		for _, j := range jobs {
			t.Bytes += max(j.entry.Size, 0)
		}
	})
}

// end notes how a run ended.
func (s *Prefetcher) end(ctx context.Context, r *run) State {
	fault := r.faults.String()
	if ctx.Err() != nil {
		fault, r.later = "the box is shutting down", true
	}
	s.mu.Lock()
	s.state.Running, s.state.Ended, s.state.Error = false, time.Now(), fault
	t := s.state
	if t.Automatic && t.Files == 0 && fault == "" && !s.before.Started.IsZero() {
		s.state = s.before
	}
	s.mu.Unlock()
	s.account.Note(r.wave, func(w *account.Wave) {
		w.Ended, w.Error = t.Ended.UTC(), fault
		w.Wanted, w.WantedBytes = t.Files, t.Bytes
		w.Failed, w.NoRoom, w.NoBudget = t.FilesFailed, t.NoRoom, t.NoBudget
	})
	s.account.Sweep(s.held) // what was replaced unused
	return t
}

// faults are the errors of suites, the first few as text.
type faults struct {
	texts []string
	more  int // errors beyond those
}

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case len(f.texts) < 3:
		f.texts = append(f.texts, err.Error())
	default:
		f.more++
	}
}

// String is "" if there are none.
func (f *faults) String() string {
	all := strings.Join(f.texts, "; ")
	if f.more > 0 {
		all += fmt.Sprintf("; and %d more", f.more)
	}
	return all
}
