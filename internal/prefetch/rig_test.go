package prefetch

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Prefetcher over a catalog, a store and a fetcher in memory.
type rig struct {
	*Prefetcher
	suites []catalog.SuiteInfo
	listed map[catalog.Location][]catalog.Entry // packages of the current generation
	full   bool                                 // the disk, of others' files

	update func(catalog.Location) error
	keep   func(context.Context, catalog.Entry) error
	busy   atomic.Bool // a client waits for a download

	mu      sync.Mutex
	held    []store.Info // guarded by mu, by name
	fetched []string     // guarded by mu, names in the order of beginning
}

var (
	_ Catalog  = (*rig)(nil)
	_ Store    = (*rig)(nil)
	_ Fetcher  = (*rig)(nil)
	_ Follower = (*rig)(nil)
	_ Store    = (*store.Store)(nil)
	_ Catalog  = (*catalog.Catalog)(nil)
)

func newRig(t *testing.T) *rig {
	r := &rig{
		listed: make(map[catalog.Location][]catalog.Entry),
		update: func(catalog.Location) error { return nil },
		keep:   func(context.Context, catalog.Entry) error { return nil },
	}
	var err error
	r.Prefetcher, err = New(Options{
		Table: newTable(t), Catalog: r, Store: r, Fetch: r, Follow: r, Budget: 1 << 40, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newTable is an empty table of a database that is closed with the test.
func newTable(t testing.TB) *kv.Table {
	t.Helper()
	db, err := kv.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Table("prefetch")
}

// until polls a condition that gives no signal.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

// suite adds one with a codename that is its name.
func (r *rig) suite(name string) catalog.Location {
	dir := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/" + name}
	r.suites = append(r.suites, catalog.SuiteInfo{Location: dir, Codename: name})
	return dir
}

// pkg is the entry of a file that suites list; size 10.
func pkg(file string) catalog.Entry {
	l := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/pool/" + file}
	return catalog.Entry{Location: l, Kind: catalog.Content, Digest: digest.Of([]byte(file)), Size: 10, Signed: true}
}

func (r *rig) list(dir catalog.Location, files ...string) {
	for _, f := range files {
		r.listed[dir] = append(r.listed[dir], pkg(f))
	}
}

// hold adds a file that was used at that many seconds.
func (r *rig) hold(file string, used int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, store.Info{Name: file, Digest: pkg(file).Digest, Used: time.Unix(used, 0)})
	slices.SortFunc(r.held, func(a, b store.Info) int { return strings.Compare(a.Name, b.Name) })
}

// run does one prefetch of a suite, or of all, and returns what it fetched.
func (r *rig) run(t *testing.T, suite string) (State, []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if _, err := r.Start(suite); err != nil {
		t.Fatal(err)
	}
	until(t, "the prefetch has ended", func() bool { return !r.State().Running })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.State(), r.fetched
}

func (r *rig) Suites() []catalog.SuiteInfo { return r.suites }

func (r *rig) Packages(dir catalog.Location) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) {
		for _, e := range r.listed[dir] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// What is new by its name is tested with a real catalog.
func (r *rig) PackagesOf(catalog.Location, digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}

func (r *rig) Listed(catalog.Location, digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}

func (r *rig) Moments(catalog.Location) []catalog.Moment { return nil }

func (r *rig) OpenVerified(context.Context, digest.Digest) (*store.Blob, error) {
	return nil, fs.ErrNotExist
}

func (r *rig) Listers(d digest.Digest) (all []catalog.Location, err error) {
	for dir, list := range r.listed {
		if slices.ContainsFunc(list, func(e catalog.Entry) bool { return e.Digest == d }) {
			all = append(all, dir)
		}
	}
	return all, nil
}

func (r *rig) Stat(d digest.Digest) (store.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.held {
		if i.Digest == d {
			return i, nil
		}
	}
	return store.Info{}, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
}

func (r *rig) Names(prefix, after string) iter.Seq2[store.Named, error] {
	r.mu.Lock()
	held := slices.Clone(r.held)
	r.mu.Unlock()
	return func(yield func(store.Named, error) bool) {
		for _, i := range held {
			if i.Name > after && strings.HasPrefix(i.Name, prefix) && !yield(store.Named{Name: i.Name, Digest: i.Digest}, nil) {
				return
			}
		}
	}
}

func (r *rig) Sources(catalog.Location) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}

func (r *rig) Vouch(e catalog.Entry) catalog.Entry { return e }

func (r *rig) InForce(d digest.Digest) (bool, error) {
	all, err := r.Listers(d)
	return len(all) > 0, err
}

func (r *rig) DiskFree() (float64, error) {
	if r.full {
		return minFree / 2, nil
	}
	return 0.5, nil
}

func (r *rig) Update(_ context.Context, dir catalog.Location) error { return r.update(dir) }

func (r *rig) ClientsWait() bool { return r.busy.Load() }

func (r *rig) Ahead(ctx context.Context, e catalog.Entry, _ []digest.Digest) (Brought, error) {
	r.mu.Lock()
	r.fetched = append(r.fetched, e.Location.Name())
	r.mu.Unlock()
	if err := r.keep(ctx, e); err != nil {
		return Brought{}, err
	}
	r.hold(e.Location.Name(), 1e6)
	return Brought{Mirrors: e.Size}, nil
}
