package catalog

import (
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A new Release is compared with an earlier one before it becomes a generation
// itself.
func TestChanges(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	for _, byHash := range []bool{true, false} {
		key := aptest.NewKey("archive")
		a := aptest.NewArchive(key, aptest.Suite{NoByHash: !byHash})
		a.AddFile("stable", "main/same", []byte("same"))
		a.Add(aptest.Package{Name: "one", Version: "1", Size: 10})
		before := a.Publish(day)
		c := newCatalog(t, key)
		g := c.learnSuite(t, archiveURL, "dists/stable", before)
		a.Add(aptest.Package{Name: "two", Version: "1", Size: 10})
		a.AddFile("stable", "main/new", []byte("new"))
		now := a.Publish(day.Add(time.Hour))
		checked, err := c.CheckRelease(at(t, suiteURL), releaseFiles(now, "dists/stable"))
		if err != nil {
			t.Fatal(err)
		}
		changes, err := c.Changes(g.ID, checked)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, n := range changes {
			name := n.Now.Location.Name()
			if n.Before == n.Now.Digest || name == "same" || name == "new" {
				t.Errorf("%s did not change", n.Now.Location)
			}
			if n.Now.Location != at(t, archiveURL+"/"+index) {
				continue
			}
			found = true
			was, is := before.File(index), now.File(index)
			if n.Before != digest.Of(was) || n.Size != int64(len(was)) || n.Now.Digest != digest.Of(is) || n.Now.Size != int64(len(is)) {
				t.Errorf("%+v", n)
			}
			want := Location{}
			if byHash {
				want = n.Now.Location.Dir().Join("by-hash/SHA256/" + digest.Of(is).String())
			}
			if n.ByHash != want {
				t.Errorf("by hash at %v, want %v", n.ByHash, want)
			}
		}
		if !found {
			t.Errorf("by-hash %v: the index is not among %d changes", byHash, len(changes))
		}
		if changes, err := c.Changes(digest.Of([]byte("unknown")), checked); err != nil || len(changes) > 0 {
			t.Errorf("against an unknown generation: %d, %v", len(changes), err)
		}
		if current, _ := c.Generation(at(t, suiteURL), digest.Digest{}); current.ID != g.ID {
			t.Error("comparing made the new Release current")
		}
	}
}
