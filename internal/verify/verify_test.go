package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/jobs"
	"millpond/internal/kv"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Verifier over a real store, beside a mirror that has some of what is listed.
type rig struct {
	*Verifier
	t     *testing.T
	dir   string
	table *kv.Table
	store *store.Store
	blobs []digest.Digest // in order

	mu     sync.Mutex
	listed map[digest.Digest]bool
	has    map[digest.Digest][]byte // the mirror; guarded by mu
	asked  int                      // guarded by mu
	hold   chan struct{}            // not nil: fetching waits for it
}

func newRig(t *testing.T, files int) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), listed: make(map[digest.Digest]bool), has: make(map[digest.Digest][]byte)}
	db, err := kv.Open(filepath.Join(r.dir, "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.table = db.Table("verify")
	r.store, err = store.Open(store.Options{Dir: r.dir, Table: db.Table("store"), Quota: store.Quota{Bytes: 1 << 30}, Damaged: func(b store.Info) { r.Damaged(b) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.store.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	for n := range files {
		content := []byte(fmt.Sprintf("file %d, %s", n, strings.Repeat("x", 1000)))
		d := digest.Of(content)
		r.put(d, content)
		r.blobs = append(r.blobs, d)
		r.listed[d], r.has[d] = true, content
	}
	slices.SortFunc(r.blobs, func(a, b digest.Digest) int { return slices.Compare(a[:], b[:]) })
	r.open(true)
	return r
}

func (r *rig) put(d digest.Digest, content []byte) {
	r.t.Helper()
	if err := r.store.Put(d, int64(len(content)), strings.NewReader(string(content)), store.Meta{Name: "a_1_all.deb"}); err != nil {
		r.t.Fatal(err)
	}
}

// open is a start of the process.
func (r *rig) open(fetches bool) {
	r.t.Helper()
	o := Options{Table: r.table, Store: r.store, Catalog: r, Jobs: new(jobs.Running), Inside: func(s Scope) (func(store.Info) bool, error) {
		return func(b store.Info) bool { return b.Digest.String() < s.Path }, nil
	}}
	if fetches {
		o.Fetch = r
	}
	v, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Verifier = v
}

func (r *rig) Describe(d digest.Digest) (catalog.Entry, bool) {
	return catalog.Entry{Kind: catalog.Content, Digest: d, Size: 1000, Signed: true}, r.listed[d]
}

func (r *rig) Again(ctx context.Context, e catalog.Entry) error {
	r.mu.Lock()
	r.asked++
	content, ok := r.has[e.Digest]
	r.mu.Unlock()
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !ok {
		return errors.New("404 Not Found")
	}
	r.put(e.Digest, content)
	return nil
}

// damage changes a byte of a blob on the disk, or cuts one off.
func (r *rig) damage(d digest.Digest, cut bool) {
	r.t.Helper()
	name := filepath.Join(r.dir, "blobs", d.String()[:2], d.String())
	content, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if cut {
		content = content[1:]
	}
	if err := errors.Join(os.Chmod(name, 0o644), os.WriteFile(name, content, 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

// run runs the Verifier until the returned function is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within 30 s: %s; the state is %+v", what, r.State())
		}
	}
}

// wanted counts the files that are to be fetched again.
func (r *rig) wanted() (n int) {
	r.t.Helper()
	err := r.table.Scan([]byte(wantedPrefix), nil, func(_, _ []byte) bool { n++; return true })
	if err != nil {
		r.t.Error(err)
	}
	return n
}

func (r *rig) holds(d digest.Digest) bool {
	_, err := r.store.Stat(d)
	return err == nil
}

// A check finds what is damaged, and has it fetched again as far as that is possible.
func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	if err := r.store.Pin(r.blobs[3], store.ByAdmin); err != nil {
		t.Fatal(err)
	}
	r.damage(r.blobs[3], false)
	r.damage(r.blobs[5], true)
	r.damage(r.blobs[7], false)
	r.listed[r.blobs[7]] = false
	r.damage(r.blobs[9], false)
	delete(r.has, r.blobs[9])
	r.run()
	if s, err := r.Start(Scope{}); err != nil || !s.Running {
		t.Fatalf("Start: %+v, %v", s, err)
	}
	r.until("the end", func() bool { return !r.State().Running })
	s := r.State()
	if s.Files != 20 || s.Damaged != 4 || s.Fetched != 2 || s.Unlisted != 1 || s.NotAvailable != 1 || s.Waiting != 0 || s.Unreadable != 0 || s.Ended.IsZero() {
		t.Errorf("the check found %+v", s.Pass)
	}
	if len(s.Found) != 4 || s.Found[0].Digest != r.blobs[3].String() || s.Found[0].Outcome != FetchedAgain || s.Found[3].Why != "404 Not Found" {
		t.Errorf("found are %+v", s.Found)
	}
	for n, want := range map[int]bool{3: true, 5: true, 7: false, 9: false, 10: true} {
		if r.holds(r.blobs[n]) != want {
			t.Errorf("blob %d is held: %v", n, !want)
		}
	}
	if info, err := r.store.Stat(r.blobs[3]); err != nil || !info.Pinned {
		t.Errorf("the file that was pinned is %+v now, %v", info, err)
	}
	if n := r.Restored(); n != 2 {
		t.Errorf("%d files count as fetched again, want 2", n)
	}
	// The next one begins anew.
	if _, err := r.Start(Scope{}); err != nil {
		t.Fatal(err)
	}
	r.until("the end of the next", func() bool { return !r.State().Running })
	if s := r.State(); s.Files != 18 || s.Damaged != 0 {
		t.Errorf("the next check found %+v", s.Pass)
	}
}

// Whoever notices that a file is damaged, it is fetched again.
func TestDamageFoundByOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.run()
	r.damage(r.blobs[1], false)
	if err := r.store.Verify(t.Context(), r.blobs[1]); !errors.Is(err, store.ErrMismatch) {
		t.Fatalf("Verify: %v", err)
	}
	r.until("the file is held again", func() bool { return r.holds(r.blobs[1]) })
	r.until("nothing is wanted", func() bool { return r.wanted() == 0 })
}

// What one process could not fetch again, the next one does.
func TestDamageOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.damage(r.blobs[0], false)
	r.open(false)
	s, err := r.Check(t.Context(), Scope{}, jobs.NewMeter())
	if err != nil || s.Files != 3 || s.Damaged != 1 || s.Waiting != 1 || s.Ended.IsZero() {
		t.Errorf("without a mirror: %+v, %v", s, err)
	}
	r.open(true)
	r.run()
	r.until("the file is held again", func() bool { return r.holds(r.blobs[0]) })
}

// A check that is stopped, or whose process ends, goes on where it was.
func TestCheckGoesOn(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(r *rig, end func()){
		"stopped": func(r *rig, end func()) {
			r.Verifier.Stop()
			r.until("it has stopped", func() bool { return !r.State().Running })
			end()
			r.open(true)
			r.run()
			if _, err := r.Start(Scope{}); err != nil {
				r.t.Fatal(err)
			}
		},
		"process ended": func(r *rig, end func()) {
			end()
			r.open(true)
			r.run()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 30)
			r.damage(r.blobs[4], false)
			r.damage(r.blobs[20], false)
			r.hold = make(chan struct{})
			end := r.run()
			if _, err := r.Start(Scope{}); err != nil {
				t.Fatal(err)
			}
			r.until("it waits for the mirror", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.asked == 1 })
			if _, err := r.Start(Scope{Host: "other"}); !errors.Is(err, ErrRunning) {
				t.Errorf("a check of something else: %v, want ErrRunning", err)
			}
			before := r.State()
			close(r.hold)
			stop(r, end)
			r.until("the end", func() bool { s := r.State(); return !s.Running && !s.Ended.IsZero() })
			s := r.State()
			if !s.Began.Equal(before.Began) {
				t.Errorf("began at %v, and anew at %v", before.Began, s.Began)
			}
			if s.Files < 29 || s.Files > 30 || s.Damaged < 1 || s.Damaged > 2 {
				t.Errorf("in all it found %+v", s.Pass)
			}
			if !r.holds(r.blobs[4]) || !r.holds(r.blobs[20]) {
				t.Error("not all is held again")
			}
		})
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	r.damage(r.blobs[2], false)
	r.damage(r.blobs[8], false)
	s, err := r.Check(t.Context(), Scope{Host: "h", Path: r.blobs[5].String()}, jobs.NewMeter())
	if err != nil || s.Files != 5 || s.Damaged != 1 {
		t.Errorf("the check of a half: %+v, %v", s, err)
	}
}

// However much is damaged, what is wanted is bounded, and so is what is fetched in a day.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	for n := range maxWanted + 10 {
		r.Damaged(store.Info{Digest: digest.Of([]byte(fmt.Sprint(n))), Size: 1})
	}
	if n := r.wanted(); n != maxWanted {
		t.Errorf("%d are wanted; want %d", n, maxWanted)
	}
	for range againFiles {
		if !r.afford(1000) {
			t.Fatal("the budget is spent too soon")
		}
	}
	if r.afford(1) {
		t.Error("more files than are allowed for a day")
	}
	r.budget = budget{}
	if !r.afford(againBytes + 1) {
		t.Error("a file of more than a day's bytes is never fetched")
	}
	if r.afford(1) {
		t.Error("more bytes than are allowed for a day")
	}
	// After a week nobody tries any more.
	if due := r.dueAt(time.Now().Add(againFor + time.Hour)); len(due) != 0 {
		t.Errorf("%d are tried after a week", len(due))
	}
	if n := r.wanted(); n != 0 || r.rows != 0 {
		t.Errorf("%d are wanted after a week, and %d count", n, r.rows)
	}
}
