package follow

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Follower over a catalog, a store and a fetcher in memory.
type rig struct {
	*Follower
	t        *testing.T
	progress broadcast.Signal

	mu      sync.Mutex // guards what follows
	suites  map[catalog.Location]*published
	held    map[digest.Digest]bool
	asked   []string // suites and times of Refresh, as of start
	kept    []string // paths
	changed []string // generations that the Prefetcher was told of
	keep    func(ctx context.Context, e catalog.Entry) error
	refresh func(dir catalog.Location) error
	started time.Time
}

// published is a suite at its mirror, and as the catalog has it.
type published struct {
	there, here int // numbers of generations; 0 for none
	used        time.Time
	checked     time.Time
	successors  []string // paths of what clients use
	indices     []string // that the setting may name
	read        map[digest.Digest]bool
}

var (
	_ Catalog    = (*rig)(nil)
	_ Store      = (*rig)(nil)
	_ Fetcher    = (*rig)(nil)
	_ Prefetcher = (*rig)(nil)
	_ Catalog    = (*catalog.Catalog)(nil)
	_ Store      = (*store.Store)(nil)
)

// following runs test with a Follower of the entries of a setting, in a bubble.
func following(t *testing.T, setting string, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		entries, err := Parse(setting)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, suites: make(map[catalog.Location]*published), held: make(map[digest.Digest]bool), started: time.Now()}
		r.Follower = New(Options{Catalog: r, Store: r, Fetch: r, Prefetch: r, Entries: entries, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		test(r)
	})
}

// run runs the Follower for a while.
func (r *rig) run(d time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(d)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		r.t.Error(err)
	}
}

// suite adds one that its mirror has.
func (r *rig) suite(name string, used time.Time, successors ...string) catalog.Location {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := dir(r.t, "http://"+name+".example.org/dists/stable")
	r.suites[l] = &published{there: 1, used: used, successors: successors, read: make(map[digest.Digest]bool)}
	if !used.IsZero() {
		r.suites[l].here = 1
	}
	return l
}

// file is a file of a suite's generation.
func file(dir catalog.Location, path string, generation int) catalog.Entry {
	return catalog.Entry{
		Location: dir.Join(path), Kind: catalog.Content, Digest: digest.Of(fmt.Append(nil, dir, path, generation)),
		Release: release(dir, generation), Suite: dir, Signed: true,
	}
}

func release(dir catalog.Location, generation int) digest.Digest {
	if generation == 0 {
		return digest.Digest{}
	}
	return digest.Of(fmt.Append(nil, dir, generation))
}

// publish gives a suite's mirror another generation.
func (r *rig) publish(dir catalog.Location) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suites[dir].there++
}

// client does what a client's request does: the mirror's generation is in force.
func (r *rig) client(dir catalog.Location) {
	r.mu.Lock()
	p := r.suites[dir]
	p.here, p.checked, p.used = p.there, time.Now(), time.Now()
	r.mu.Unlock()
	r.progress.Fire()
}

func (r *rig) Suites() (all []catalog.SuiteInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for dir, p := range r.suites {
		if p.here > 0 {
			g := catalog.Generation{ID: release(dir, p.here), Date: time.Unix(int64(p.here), 0)}
			all = append(all, catalog.SuiteInfo{Location: dir, Current: g, Used: p.used})
		}
	}
	return all
}

func (r *rig) Generation(dir catalog.Location, _ digest.Digest) (catalog.Generation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.suites[dir]
	if p == nil || p.here == 0 {
		return catalog.Generation{}, false
	}
	return catalog.Generation{ID: release(dir, p.here), Date: time.Unix(int64(p.here), 0)}, true
}

func (r *rig) Successors(dir catalog.Location, held func(digest.Digest) bool) (all []catalog.Entry, err error) {
	r.mu.Lock()
	p := *r.suites[dir]
	r.mu.Unlock()
	for _, path := range p.successors {
		if e := file(dir, path, p.here); !held(e.Digest) {
			all = append(all, e)
		}
	}
	return all, nil
}

func (r *rig) Indices(dir catalog.Location, _ catalog.Wanted) (all [][]catalog.Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.suites[dir]
	for _, path := range p.indices {
		xz, gz := file(dir, path+".xz", p.here), file(dir, path+".gz", p.here)
		xz.Index, gz.Index = !p.read[xz.Digest], !p.read[gz.Digest]
		all = append(all, []catalog.Entry{xz, gz})
	}
	return all, nil
}

func (r *rig) HeldOf(dir catalog.Location, held func(digest.Digest) bool) (n int, err error) {
	r.mu.Lock()
	p := *r.suites[dir]
	r.mu.Unlock()
	for _, path := range slices.Concat(p.successors, p.indices) {
		for _, end := range []string{"", ".xz", ".gz"} {
			if held(file(dir, path+end, p.here).Digest) {
				n++
			}
		}
	}
	return n, nil
}

func (r *rig) Progress() <-chan struct{} { return r.progress.Wait() }

func (r *rig) Stat(d digest.Digest) (store.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held[d] {
		return store.Info{}, fs.ErrNotExist
	}
	return store.Info{Digest: d}, nil
}

func (r *rig) Refresh(_ context.Context, dir catalog.Location) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf("%s %v", dir.Host, time.Since(r.started).Round(time.Minute)))
	if r.refresh != nil {
		if err := r.refresh(dir); err != nil {
			return err
		}
	}
	p := r.suites[dir]
	if p == nil {
		return &mirror.StatusError{URL: dir.String(), Code: 404}
	}
	p.here, p.checked = p.there, time.Now()
	return nil
}

func (r *rig) Keep(ctx context.Context, e catalog.Entry) error {
	if r.keep != nil {
		if err := r.keep(ctx, e); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, e.Location.Name())
	r.held[e.Digest] = true
	r.suites[e.Suite].read[e.Digest] = true
	return nil
}

func (r *rig) Checked(dir catalog.Location) (at time.Time, stale string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.suites[dir]; p != nil {
		return p.checked, ""
	}
	return time.Time{}, ""
}

func (r *rig) Changed(dir catalog.Location) {
	g, _ := r.Generation(dir, digest.Digest{})
	depth := r.Depth(dir) // it may ask
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = append(r.changed, fmt.Sprintf("%s %d %s", dir.Host, g.Date.Unix(), depth))
}

// noted returns what was noted since the last call, sorted.
func (r *rig) noted(list *[]string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := *list
	*list = nil
	slices.Sort(all)
	return all
}
