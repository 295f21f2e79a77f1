package carry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/jobs"
)

// noFetch takes no Releases, and fetches nothing.
type noFetch struct{ noReleases }

func (noFetch) Refresh(context.Context, catalog.Location) error { return errors.New("no network") }
func (noFetch) Keep(context.Context, catalog.Entry) error       { return errors.New("no network") }

// whole is a catalog.
type whole interface {
	Catalog
	Generations
}

// paused is a catalog of a box that does not answer until it is let.
type paused struct {
	whole
	asked, let chan struct{}
	once       sync.Once
}

func (p *paused) Suites() []catalog.SuiteInfo {
	p.once.Do(func() { close(p.asked) })
	<-p.let
	return nil
}

func newService(t testing.TB, b *boxtest.Box) *Service {
	return NewService(Options{
		Store: b.Store, Catalog: b.Catalog, Fetch: noFetch{}, Journal: b.DB.Table("carry"), Jobs: new(jobs.Running), Data: t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	})
}

// runs runs s until the end of the test, or the call of the function that it returns.
func (s *Service) runs(t testing.TB) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

// ended waits for the end of a kind of work.
func (s *Service) ended(t testing.TB, k jobs.Kind) State {
	t.Helper()
	for {
		state := s.State(k)
		if !state.Running {
			return state
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the work does not end")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestServiceImports(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	s, dir := newService(t, b), t.TempDir()
	put(t, filepath.Join(dir, "hello_1_all.deb"), "hello")
	if state := s.State(jobs.Import); !state.Began.IsZero() || state.Report != nil {
		t.Errorf("before the first: %+v", state)
	}
	r := Request{Kind: jobs.Import, Dirs: []string{dir}}
	if state, err := s.Start(r); err != nil || !state.Running || len(s.Jobs.All()) != 1 {
		t.Fatalf("begun: %+v, %v", state, err)
	}
	if _, err := s.Start(r); err != nil {
		t.Errorf("the same once more: %v", err)
	}
	if _, err := s.Start(Request{Kind: jobs.Import, Dirs: []string{"/nowhere"}}); !errors.Is(err, jobs.ErrRunning) {
		t.Errorf("another one beside it: %v", err)
	}
	s.runs(t)
	state := s.ended(t, jobs.Import)
	if state.Report == nil || state.Report.Taken != 1 || state.Error != "" || state.Stopped || state.Ended.IsZero() || len(s.Jobs.All()) != 0 {
		t.Errorf("ended: %+v", state)
	}
	if _, err := s.Start(Request{Kind: jobs.Import, Dirs: []string{"/nowhere/at/all"}}); err != nil {
		t.Fatal(err)
	}
	if state := s.ended(t, jobs.Import); !strings.Contains(state.Error, "no such file") {
		t.Errorf("of a directory that is not there: %+v", state)
	}
}

func TestServiceStops(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	s := newService(t, b)
	s.Stop(jobs.Export) // of none
	p := &paused{whole: b.Catalog, asked: make(chan struct{}), let: make(chan struct{})}
	s.Catalog = p
	r := Request{Kind: jobs.Export, Dirs: []string{filepath.Join(t.TempDir(), "new")}}
	if _, err := s.Start(r); err != nil {
		t.Fatal(err)
	}
	s.Stop(jobs.Export) // before it begins
	end := s.runs(t)
	close(p.let)
	if state := s.ended(t, jobs.Export); !state.Stopped || state.Error != "" {
		t.Errorf("stopped before it began: %+v", state)
	}
	// The end of the process stops what is under way, and waits for it.
	p.asked, p.let, p.once = make(chan struct{}), make(chan struct{}), sync.Once{}
	if _, err := s.Start(r); err != nil {
		t.Fatal(err)
	}
	<-p.asked
	go close(p.let)
	end()
	if state := s.State(jobs.Export); state.Running || !state.Stopped && state.Report == nil {
		t.Errorf("at the end of the process: %+v", state)
	}
}

func TestServiceRefuses(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	s := newService(t, b)
	s.Offline = true
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.Data, link); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Request{
		"no directory":                  {Kind: jobs.Import},
		"path from /":                   {Kind: jobs.Import, Dirs: []string{"/a", "b"}},
		"not the URL of an archive":     {Kind: jobs.Import, Dirs: []string{"/a"}, As: "hello"},
		"in the data directory":         {Kind: jobs.Export, Dirs: []string{filepath.Join(s.Data, "a/b")}},
		"data directory of the box":     {Kind: jobs.Export, Dirs: []string{link + "/a"}},
		"MILLPOND_OFFLINE":              {Kind: jobs.Fill, Dirs: []string{"/a"}, List: new(WantList)},
		fmt.Sprintf("%q is in", s.Data): {Kind: jobs.Export, Dirs: []string{s.Data}},
	} {
		if _, err := s.Start(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	if len(s.Jobs.All()) != 0 {
		t.Error("what was refused is under way")
	}
}
