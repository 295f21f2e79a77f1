package catalog

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"millpond/internal/digest"
)

// Releases of one suite, some of them the same, are adopted at the same time:
// one is current, what each lists is whole, and nothing is left of the others.
func TestAdoptConcurrently(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	dir := at(t, suiteURL)
	const releases, files = 3, 50
	var all []*CheckedRelease
	name := func(i int) string { return fmt.Sprintf("main/i18n/Translation-%d", i) }
	for i := range releases {
		listed := make(map[string][]byte)
		for j := range files {
			listed[name(j)] = fmt.Appendf(nil, "%d %d", i, j)
		}
		r, err := c.CheckRelease(dir, lists(listed))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	for range 5 {
		var adopting sync.WaitGroup
		for i := range 3 * releases {
			adopting.Go(func() {
				r := all[i%releases]
				if g, err := c.Adopt(r); err != nil || g.ID != r.Generation.ID || !g.Signed {
					t.Errorf("release %d: %+v, %v", i%releases, g, err)
				}
			})
		}
		adopting.Wait()
	}
	current, _ := c.Generation(dir, digest.Digest{})
	if !slices.ContainsFunc(all, func(r *CheckedRelease) bool { return r.Generation.ID == current.ID }) {
		t.Errorf("current: %+v", current)
	}
	for i, r := range all {
		for j := range files {
			e := c.Resolve(t.Context(), dir.Join(name(j)), func(Location) digest.Digest { return r.Generation.ID })
			if e.Digest != digest.Of(fmt.Appendf(nil, "%d %d", i, j)) || !e.Signed || e.Release != r.Generation.ID {
				t.Errorf("release %d, file %d: %+v", i, j, e)
			}
		}
	}
	c.sweep(t.Context())
	if s := c.Stats(); s.Tables != releases || s.Rows != releases*files || countRows(t, c) != 2*releases*files {
		t.Errorf("%+v, %d rows", s, countRows(t, c))
	}
}

// The rows of a Release are on disk before the catalog is locked: a look that
// needs the lock, such as learning an index, does not wait for the disk.
func TestAdoptWritesUnlocked(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	r, err := c.CheckRelease(at(t, suiteURL), lists(map[string][]byte{"main/Contents-all": []byte("x")}))
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	adopted := make(chan error)
	go func() {
		_, err := c.Adopt(r)
		adopted <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); countRows(t, c) != 2; {
		if time.Now().After(deadline) {
			t.Error("no rows are written while the catalog is locked")
			break
		}
	}
	c.mu.Unlock()
	if err := <-adopted; err != nil {
		t.Error(err)
	}
}

// Tables that are written at the same time have ids of their own: their rows
// would mix otherwise.
func TestTableIDs(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	const n = 200
	ids := make([]tableID, n)
	var writers sync.WaitGroup
	for i := range n {
		writers.Go(func() {
			var err error
			if ids[i], err = c.rows.newID(); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	slices.Sort(ids)
	if got := len(slices.Compact(ids)); got != n {
		t.Errorf("%d tables have %d ids", n, got)
	}
}
