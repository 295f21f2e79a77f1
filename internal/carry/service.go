package carry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"millpond/internal/jobs"
	"millpond/internal/kv"
)

// Request is an import, an export or a fill.
type Request struct {
	Kind   jobs.Kind
	Dirs   []string  // that are imported; otherwise the one that is written
	As     string    // of an import: the URL that each of Dirs is a copy of, "" where their names tell
	Suites []string  // of an export: names or URLs, none for all
	List   *WantList // of a fill
}

// ErrOffline says that a box must not fetch what a fill is to write.
var ErrOffline = errors.New("MILLPOND_OFFLINE is set, and fill fetches from mirrors: run it at a box that has a network")

// Options are a Service's dependencies.
type Options struct {
	Store   Store
	Catalog interface {
		Catalog
		Generations
	}
	Fetch interface {
		Releases
		Fetcher
	}
	Journal *kv.Table     // for rows of 'j'
	Jobs    *jobs.Running // where the work is shown while it is done
	Data    string        // the data directory, into which nothing is exported
	Offline bool
	Log     *slog.Logger
}

// Service does imports, exports and fills for a box, one of each kind at a time, and knows
// how the last of each ended. Its methods may be called by several goroutines at once.
type Service struct {
	Options
	begun chan *work

	mu   sync.Mutex // guards what follows, and the works
	last map[jobs.Kind]*work
}

// kinds is how many kinds of work a Service does.
const kinds = 3

// work is a request and what became of it. The Service's mu guards what follows request.
type work struct {
	request Request
	meter   *jobs.Meter
	end     func()
	stop    context.CancelFunc // nil before it begins
	state   State
}

// State is how far some work is, or how it ended. It is zero before the first.
type State struct {
	Running      bool
	Began, Ended time.Time
	Stopped      bool          // before its end, by Stop or the end of the process
	Error        string        // why it could not go on
	Report       *Report       // nil while it runs
	Progress     jobs.Progress // while it runs
}

// NewService returns a Service. What is begun is done by Run.
func NewService(o Options) *Service {
	return &Service{Options: o, begun: make(chan *work, kinds), last: make(map[jobs.Kind]*work)}
}

// Do does what is requested and returns when it is over or ctx ends. How far it is is told
// to m. What was done until an error stays, and the same request goes on there. It is for
// a process in which Run is not called.
func (s *Service) Do(ctx context.Context, r Request, m *jobs.Meter) (*Report, error) {
	if err := s.check(r); err != nil {
		return newReport(), err
	}
	return s.do(ctx, r, m)
}

func (s *Service) do(ctx context.Context, r Request, m *jobs.Meter) (*Report, error) {
	switch r.Kind {
	case jobs.Import:
		im := Importer{Store: s.Store, Catalog: s.Catalog, Releases: s.Fetch, Journal: s.Journal, Meter: m}
		return im.Import(ctx, Import{Dirs: r.Dirs, As: r.As})
	case jobs.Export:
		x := Exporter{Store: s.Store, Catalog: s.Catalog, Meter: m}
		return x.Export(ctx, r.Dirs[0], r.Suites)
	default:
		f := Filler{Store: s.Store, Catalog: s.Catalog, Fetch: s.Fetch, Meter: m}
		return f.Fill(ctx, r.Dirs[0], r.List)
	}
}

// check returns what is wrong with a request.
func (s *Service) check(r Request) error {
	if len(r.Dirs) == 0 {
		return errors.New("no directory is named")
	}
	for _, dir := range r.Dirs {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("%.200q is not a directory's path from /, as the box sees it", dir)
		}
	}
	switch r.Kind {
	case jobs.Import:
		if r.As != "" {
			_, err := ParseBase(r.As)
			return err
		}
		return nil
	case jobs.Fill:
		if s.Offline {
			return ErrOffline
		}
	}
	return s.outside(r.Dirs[0])
}

// outside returns an error if what is written to dir would be in the data directory.
func (s *Service) outside(dir string) error {
	data, err := filepath.EvalSymlinks(s.Data)
	if err != nil {
		return err
	}
	for up := filepath.Clean(dir); ; up = filepath.Dir(up) {
		at, err := filepath.EvalSymlinks(up)
		if err != nil && up != "/" { // what is to be made
			continue
		}
		if at == data || strings.HasPrefix(at, data+"/") {
			return fmt.Errorf("%.200q is in the data directory of the box: name one beside it", dir)
		}
		return nil
	}
}

// Start begins what is requested and returns at once; the same that is under way goes on.
// The error says what is wrong with the request, or is jobs.ErrRunning if other work of
// that kind is under way.
func (s *Service) Start(r Request) (State, error) {
	if err := s.check(r); err != nil {
		return State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.last[r.Kind]; w != nil && w.state.Running && reflect.DeepEqual(w.request, r) {
		return w.state, nil
	}
	m, end, err := s.Jobs.Begin(r.Kind)
	if err != nil {
		return State{}, err
	}
	w := &work{request: r, meter: m, end: end, state: State{Running: true, Began: time.Now().UTC()}}
	s.last[r.Kind] = w
	s.begun <- w // there is a place for each kind
	return w.state, nil
}

// Stop stops the work of a kind, if some is under way. The same request goes on there.
func (s *Service) Stop(kind jobs.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.last[kind]
	if w == nil || !w.state.Running {
		return
	}
	w.state.Stopped = true
	if w.stop != nil {
		w.stop()
	}
}

// State returns how far the last work of a kind is, or how it ended.
func (s *Service) State(kind jobs.Kind) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.last[kind]
	if w == nil {
		return State{}
	}
	state := w.state
	if state.Running {
		state.Progress = w.meter.Progress()
	}
	return state
}

// Run does what is begun until ctx ends, and stops it then. It returns nil.
func (s *Service) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case w := <-s.begun:
			all.Go(func() { s.work(ctx, w) })
		case <-ctx.Done():
			return nil
		}
	}
}

// work does w, and notes how it ended.
func (s *Service) work(ctx context.Context, w *work) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	w.stop = cancel
	if w.state.Stopped {
		cancel()
	}
	s.mu.Unlock()
	report, err := s.do(ctx, w.request, w.meter)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.end()
	w.request.List = nil // which may be long
	w.state.Running, w.state.Ended, w.state.Report = false, time.Now().UTC(), report
	log := s.Log.With("kind", string(w.request.Kind), "dirs", w.request.Dirs, "files", report.Taken, "bytes", report.TakenBytes, "there_before", report.Held)
	switch {
	case ctx.Err() != nil:
		w.state.Stopped = true
		log.Info("import, export or fill stopped before its end")
	case err != nil:
		w.state.Error = err.Error()
		log.Warn("import, export or fill could not go on", "err", err)
	default:
		w.state.Stopped = false
		log.Info("import, export or fill ended")
	}
}
