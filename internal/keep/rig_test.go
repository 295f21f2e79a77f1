package keep

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ Store   = (*store.Store)(nil)
	_ Catalog = (*catalog.Catalog)(nil)
	_ Fetcher = (*site)(nil)
)

// site is a box of real parts beside an archive. It fetches like package fetch, but
// without swarm and clients.
type site struct {
	*boxtest.Archive
	box *boxtest.Box
	t   *testing.T
	now time.Time // of the next Release

	turn time.Duration          // of the Keeper, if not 0
	debs map[string]aptest.File // by name, the newest version
	*Keeper
	stop func()
}

func newSite(t *testing.T, quota int64, suites ...aptest.Suite) *site {
	t.Helper()
	if len(suites) == 0 {
		suites = []aptest.Suite{{NoPDiffs: true}}
	}
	s := &site{
		Archive: boxtest.NewArchive(t, aptest.MirrorOptions{}, suites...), t: t,
		now: time.Now().Add(-time.Hour), debs: make(map[string]aptest.File),
	}
	s.box = boxtest.New(t, boxtest.Options{Keys: s.Keys, Quota: quota})
	return s
}

// dir is the directory of a suite.
func (s *site) dir(suite string) catalog.Location {
	l, err := catalog.ParseURL(s.URL("dists/" + suite))
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *site) add(p aptest.Package) { s.debs[p.Name] = s.Add(p) }

// publish makes the archive's next generation known to the box.
func (s *site) publish(suites ...string) {
	s.t.Helper()
	s.now = s.now.Add(time.Minute)
	s.Release(s.now)
	for _, suite := range suites {
		if err := s.Refresh(s.t.Context(), s.dir(suite)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// keep begins to keep slices. It may be called again after s.stop.
func (s *site) keep(slices ...Slice) {
	s.t.Helper()
	s.Keeper = New(Options{Slices: slices, Catalog: s.box.Catalog, Store: s.box.Store, Fetch: s, Table: s.box.DB.Table("keep"), Log: s.box.Log})
	if s.turn != 0 {
		s.Keeper.turn = s.turn
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	s.stop = func() { cancel(); running.Wait() }
	s.t.Cleanup(s.stop)
}

// slice is one of main for amd64.
func (s *site) slice(suite string, packages ...string) Slice {
	return Slice{Suite: s.dir(suite), Components: []string{"main"}, Architectures: []string{"amd64"}, Packages: packages}
}

// await polls the state of the first slice, its only face.
func (s *site) await(what string, ok func(State) bool) State {
	s.t.Helper()
	return s.awaitOf(0, what, ok)
}

func (s *site) awaitOf(n int, what string, ok func(State) bool) State {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if t := s.State()[n]; ok(t) {
			return t
		}
	}
	s.t.Fatalf("not %s: %+v", what, s.State()[n])
	return State{}
}

// complete waits until a suite is complete in its present generation.
func (s *site) complete(suite string) State {
	s.t.Helper()
	n := slices.IndexFunc(s.State(), func(t State) bool { return t.Suite == s.dir(suite) })
	return s.awaitOf(n, "complete", func(t State) bool {
		gen, ok := s.box.Catalog.Generation(s.dir(suite), digest.Digest{})
		return ok && t.Complete == gen.ID && t.FilesGone == 0 && t.FilesHeld == t.Files && t.Fault == ""
	})
}

// want checks which of the packages, in their newest version, are pinned.
func (s *site) want(names ...string) {
	s.t.Helper()
	for name, f := range s.debs {
		if got, want := s.pinned(f), slices.Contains(names, name); got != want {
			s.t.Errorf("%s is pinned: %v, want %v", name, got, want)
		}
	}
}

func (s *site) pinned(f aptest.File) bool {
	info, err := s.box.Store.Stat(digest.Of(f.Data))
	return err == nil && info.Pinned
}

// Refresh implements Fetcher.
func (s *site) Refresh(ctx context.Context, dir catalog.Location) error {
	data, err := s.get(ctx, dir.Join("InRelease"))
	if err != nil {
		return err
	}
	if err := s.box.Store.Put(digest.Of(data), int64(len(data)), bytes.NewReader(data), store.Meta{Name: "InRelease", Pin: "the Release in force"}); err != nil {
		return err
	}
	if g, ok := s.box.Catalog.Generation(dir, digest.Digest{}); ok && g.ID != digest.Of(data) {
		if err := s.box.Store.Unpin(g.ID, "the Release in force"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	r, err := s.box.Catalog.CheckRelease(dir, catalog.ReleaseFiles{InRelease: data})
	if err != nil {
		return err
	}
	_, err = s.box.Catalog.Adopt(r)
	return err
}

// Keep implements Fetcher.
func (s *site) Keep(ctx context.Context, e catalog.Entry) error {
	data, err := s.get(ctx, e.Location)
	if err != nil {
		return err
	}
	if err := s.box.Store.Put(e.Digest, int64(len(data)), bytes.NewReader(data), store.Meta{Name: e.Location.Name()}); err != nil {
		return err
	}
	if !e.Index {
		return nil
	}
	return s.box.Catalog.LearnIndex(ctx, e, bytes.NewReader(data))
}

func (s *site) get(ctx context.Context, l catalog.Location) ([]byte, error) {
	resp, err := s.box.Mirror.Get(ctx, mirror.Request{URL: l.URL()})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
