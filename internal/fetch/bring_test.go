package fetch

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// bring brings a generation on a medium, of which the box takes the indices at paths.
func (r *rig) bring(files catalog.ReleaseFiles, g *aptest.Generation, paths ...string) error {
	r.t.Helper()
	_, err := r.Bring(r.t.Context(), r.dir(), files, func(digest.Digest) error {
		for _, path := range paths {
			body := g.File(path)
			if err := r.store.Put(digest.Of(body), int64(len(body)), bytes.NewReader(body), store.Meta{}); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// onMedium are the Release files of a generation in the form that path is of.
func onMedium(files map[string][]byte, path string) catalog.ReleaseFiles {
	if strings.HasSuffix(path, "InRelease") {
		return catalog.ReleaseFiles{InRelease: files["InRelease"]}
	}
	return catalog.ReleaseFiles{Release: files["Release"], Signature: files["Release.gpg"]}
}

func filesOf(g *aptest.Generation) map[string][]byte {
	all := make(map[string][]byte)
	for _, path := range g.Paths() {
		if name, ok := strings.CutPrefix(path, "dists/stable/"); ok && !strings.Contains(name, "/") {
			all[name] = g.File(path)
		}
	}
	return all
}

const packagesXZ = "dists/stable/main/binary-amd64/Packages.xz"

// A box that has no network serves what a medium brought.
func TestBroughtRelease(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		suite.NoPDiffs = true
		r := newRig(t, suite, noTTL)
		g := r.archive.Publish(time.Now().Add(-time.Hour))
		r.mirror.Down()
		must(t, r.bring(onMedium(filesOf(g), path), g, packagesXZ))
		if f := r.want(path, g.File(path)); f.Stale == "" {
			t.Error("the mirror is not known to be away")
		}
		r.want(packagesXZ, g.File(packagesXZ))
		e := r.catalog.Resolve(t.Context(), r.at(r.packageAt("small")), nil)
		if e.Kind != catalog.Content || !e.Signed || e.Digest != digest.Of(r.files["small"].Data) {
			t.Errorf("a package that the medium's index lists: %+v", e)
		}
		// What the mirror has counts as before.
		must(t, r.mirror.Up())
		r.archive.Add(aptest.Package{Name: "next", Version: "1", Size: 10})
		next := r.archive.Publish(time.Now().Add(-time.Second))
		r.mirror.Publish("/debian", next)
		r.want(path, next.File(path))
	}
}

// What somebody may have put on a medium changes nothing.
func TestBroughtReleaseIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		for path, suite := range forms {
			suite.NoPDiffs = true
			t.Run(a.name+"/"+path, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, suite, noTTL)
				g := r.archive.Publish(time.Now().Add(-time.Hour))
				r.mirror.Publish("/debian", g)
				r.want(path, g.File(path))
				before, _ := r.catalog.Generation(r.dir(), digest.Digest{})
				if err := r.bring(onMedium(a.files(r, g), path), g, packagesXZ); err == nil {
					t.Fatal("it was taken")
				}
				if after, _ := r.catalog.Generation(r.dir(), digest.Digest{}); after.ID != before.ID || !after.Signed {
					t.Errorf("in force: %+v, was %+v", after, before)
				}
				r.mirror.Down()
				r.want(path, g.File(path))
			})
		}
	}
}

// A new Release without the indices that clients have is not taken, and is with them.
func TestBroughtReleaseNeedsItsIndices(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoPDiffs: true}, noTTL)
	r.update()
	r.archive.Add(aptest.Package{Name: "next", Version: "1", Size: 10, Arch: "amd64"})
	next := r.archive.Publish(time.Now().Add(-time.Minute))
	r.mirror.Down()
	files := onMedium(filesOf(next), "InRelease")
	if err := r.bring(files, next); err == nil || !strings.Contains(err.Error(), "Packages.xz") {
		t.Fatalf("without its indices: %v", err)
	}
	if b, _, err := r.read("dists/stable/InRelease"); err != nil || bytes.Equal(b, files.InRelease) {
		t.Errorf("clients got the Release without its indices, %v", err)
	}
	must(t, r.bring(files, next, packagesXZ))
	r.want("dists/stable/InRelease", files.InRelease)
	r.want(packagesXZ, next.File(packagesXZ))
	must(t, r.bring(files, next, packagesXZ)) // once more changes nothing
	r.want("dists/stable/InRelease", files.InRelease)
}
