// Package verify hashes all that the store holds when somebody asks for it, and has what
// was found damaged, then or at any other time, fetched again.
//
// It stands on the store, which removes what is damaged, and on the catalog, which knows
// what is listed. A check (Pass) survives an end of the process: it goes on where it was.
// What is damaged and listed by a signed Release is wanted again: it is fetched one file
// at a time, without a client, within a day's budget, and tried once an hour for a week,
// also after a restart. All else is fetched when a client asks for it.
package verify

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/jobs"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Store holds the files; *store.Store.
type Store interface {
	From(d digest.Digest) iter.Seq2[store.Info, error]
	Stat(d digest.Digest) (store.Info, error)
	Verify(ctx context.Context, d digest.Digest) error
	Pin(d digest.Digest, owner string) error
	Usage() store.Usage
}

// Catalog knows what is listed; *catalog.Catalog.
type Catalog interface {
	Describe(d digest.Digest) (catalog.Entry, bool)
}

// Fetcher fetches a file for which no client waits, into free room.
type Fetcher interface {
	Again(ctx context.Context, e catalog.Entry) error
}

// Scope is a host, or a file or directory of it; the zero value is all that is held.
type Scope struct {
	Host string `json:"host"`
	Path string `json:"path"`
}

// Options are a Verifier's dependencies. All but Fetch, Jobs and Log are required.
type Options struct {
	Table   *kv.Table // the Verifier's alone
	Store   Store
	Catalog Catalog
	Fetch   Fetcher // nil: what is damaged stays wanted, for the next process
	// Inside returns what decides whether a blob is in a scope.
	Inside func(Scope) (func(store.Info) bool, error)
	Jobs   *jobs.Running // where a check is shown while it runs
	Log    *slog.Logger
}

// ErrRunning says that a check of something else is under way.
var ErrRunning = errors.New("another check is under way")

// Verifier checks held files. Damaged may be called as soon as New has returned.
type Verifier struct {
	table   *kv.Table
	store   Store
	catalog Catalog
	fetch   Fetcher
	inside  func(Scope) (func(store.Info) bool, error)
	jobs    *jobs.Running
	log     *slog.Logger

	fetching chan struct{}  // has a place for the one that fetches again
	lost     broadcast.Wake // something damaged is wanted
	begun    broadcast.Wake // a pass was

	mu      sync.Mutex // guards what follows
	pass    Pass
	running bool
	stop    context.CancelFunc // of the pass under way
	meter   *jobs.Meter        // likewise
	hashing hashing
	rows    int // of what is wanted; at most maxWanted
	budget  budget
	today   restored
}

// hashing is the blob that the pass hashes, and whether it was lost by that.
type hashing struct {
	digest digest.Digest
	lost   bool
}

// restored counts what was fetched again within a day.
type restored struct {
	since time.Time
	files int
}

// Open returns a Verifier with the pass of the last process.
func Open(o Options) (*Verifier, error) {
	v := &Verifier{
		table: o.Table, store: o.Store, catalog: o.Catalog, fetch: o.Fetch, inside: o.Inside, jobs: o.Jobs, log: o.Log,
		fetching: make(chan struct{}, 1), lost: broadcast.NewWake(), begun: broadcast.NewWake(),
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if v.jobs == nil {
		v.jobs = new(jobs.Running)
	}
	var err error
	v.pass, err = kv.GetJSON[Pass](v.table, passKey)
	if err != nil {
		return nil, err
	}
	return v, v.countRows()
}

// Run goes on with the check that the last process has not finished, does those that are
// begun, and fetches again what was damaged, until ctx ends. It then returns nil.
func (v *Verifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { v.fetchWanted(ctx) })
	all.Go(func() { v.passes(ctx) })
	all.Wait()
	return nil
}

func (v *Verifier) passes(ctx context.Context) {
	v.mu.Lock()
	if v.pass.open() {
		v.running = true
		v.begun.Call()
	}
	v.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.begun:
		}
		// Nobody else begins one of this kind.
		if meter, end, err := v.jobs.Begin(jobs.Verify); err == nil {
			v.work(ctx, meter)
			end()
		}
	}
}

// Check begins a check, or goes on with the last one if that was stopped, and returns when
// it is over or ctx ends: then it is stopped. How far it is is told to m. It is for a
// process in which Run is not called.
func (v *Verifier) Check(ctx context.Context, s Scope, m *jobs.Meter) (State, error) {
	if _, err := v.begin(s); err != nil {
		return State{}, err
	}
	v.work(ctx, m)
	if ctx.Err() != nil {
		v.Stop()
	}
	return v.State(), nil
}

// Start begins a check, or goes on with the last one of the same scope if that was
// stopped, and returns at once. One that is under way goes on. ErrRunning says that it is
// one of another scope.
func (v *Verifier) Start(s Scope) (State, error) {
	began, err := v.begin(s)
	if began {
		v.begun.Call()
	}
	return v.State(), err
}

// begin makes a pass the one under way.
func (v *Verifier) begin(s Scope) (began bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.running && v.pass.Scope != s:
		return false, ErrRunning
	case v.running:
		return false, nil
	case v.pass.Scope == s && (v.pass.Stopped || v.pass.open()):
		v.pass.Stopped, v.pass.Error = false, ""
	default:
		v.pass = Pass{Scope: s, Began: time.Now().UTC()}
	}
	if err := v.save(); err != nil {
		return false, err
	}
	v.running = true
	return true, nil
}

// Stop ends the check under way. The next one of the same scope goes on where it was.
func (v *Verifier) Stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.pass.open() {
		return
	}
	v.pass.Stopped = true
	if v.stop != nil {
		v.stop()
	}
	if err := v.save(); err != nil {
		v.log.Warn("the check of held files goes on at the next start although it was stopped", "err", err)
	}
}

// State is how far a check is, or how the last one ended.
type State struct {
	Pass
	Running  bool
	Progress jobs.Progress // while it runs
}

// State returns the state of the check that was begun last.
func (v *Verifier) State() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := State{Pass: v.pass.clone(), Running: v.running}
	if v.meter != nil {
		s.Progress = v.meter.Progress()
	}
	return s
}
