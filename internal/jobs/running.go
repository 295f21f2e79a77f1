package jobs

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// Kind is a kind of work.
type Kind string

// The kinds that there are.
const (
	Verify Kind = "verify"
	Import Kind = "import"
	Export Kind = "export"
	Fill   Kind = "fill"
	Backup Kind = "backup"
)

// ErrRunning says that work of the same kind is under way.
var ErrRunning = errors.New("this is under way already")

// Running has the work that is under way. The zero value has none. It is safe for
// concurrent use.
type Running struct {
	mu   sync.Mutex
	jobs map[Kind]*Meter // guarded by mu
}

// Begin begins work of a kind. The caller calls end when that is over. The error is
// ErrRunning while other work of that kind is under way.
func (r *Running) Begin(kind Kind) (m *Meter, end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[kind] != nil {
		return nil, nil, ErrRunning
	}
	if r.jobs == nil {
		r.jobs = make(map[Kind]*Meter)
	}
	m = NewMeter()
	r.jobs[kind] = m
	return m, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.jobs[kind] == m {
			delete(r.jobs, kind)
		}
	}, nil
}

// Job is work under way.
type Job struct {
	Kind Kind
	Progress
}

// All returns the work under way, by kind.
func (r *Running) All() []Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []Job{}
	for _, kind := range slices.Sorted(maps.Keys(r.jobs)) {
		all = append(all, Job{kind, r.jobs[kind].Progress()})
	}
	return all
}
