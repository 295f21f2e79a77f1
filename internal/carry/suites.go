package carry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// suiteDir is a directory with a Release.
type suiteDir struct {
	dir   string // in the tree
	taken bool   // its Release was taken, and so are the indices that it lists
	noURL bool
}

// bringSuites brings the Releases of a tree into force, with their indices.
func (r *run) bringSuites(ctx context.Context, s *source) error {
	for _, dir := range slices.Sorted(maps.Keys(s.suites)) {
		if err := r.bringSuite(ctx, s, s.suites[dir]); err != nil {
			return err
		}
	}
	return nil
}

// bringSuite brings one suite's Release into force in the forms that the tree has.
func (r *run) bringSuite(ctx context.Context, s *source, d *suiteDir) error {
	var files catalog.ReleaseFiles
	for name, body := range map[string]*[]byte{"InRelease": &files.InRelease, "Release": &files.Release, "Release.gpg": &files.Signature} {
		var err error
		if *body, err = r.readRelease(s, path.Join(d.dir, name)); err != nil {
			return err
		}
	}
	l, ok := r.places.of(path.Join(d.dir, "InRelease"))
	if !ok {
		d.noURL = true
		r.report.skip(NoURL, path.Join(d.dir, "Release"), "")
		return nil
	}
	url := l.Dir()
	for _, form := range []catalog.ReleaseFiles{{InRelease: files.InRelease}, {Release: files.Release, Signature: files.Signature}} {
		name := "InRelease"
		if form.InRelease == nil {
			name = "Release"
		}
		if form.InRelease == nil && form.Release == nil {
			continue
		}
		if err := r.bringForm(ctx, s, d, url, form); err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrDisk) {
				return err
			}
			r.report.skip(NotSigned, path.Join(d.dir, name), err.Error())
		}
	}
	return nil
}

// bringForm brings the Release of a suite in one form into force.
func (r *run) bringForm(ctx context.Context, s *source, d *suiteDir, url catalog.Location, form catalog.ReleaseFiles) error {
	g, err := r.Releases.Bring(ctx, url, form, func(release digest.Digest) error {
		if d.taken {
			return nil // from the other form, which lists the same
		}
		d.taken = true
		return r.takeIndices(ctx, s, d, url, release)
	})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s of %s", url, g.Date.UTC().Format("2006-01-02 15:04"))
	if !slices.Contains(r.report.Suites, text) {
		r.report.Suites = append(r.report.Suites, text)
	}
	return nil
}

// takeIndices imports the files below a suite's directory that its Release lists.
func (r *run) takeIndices(ctx context.Context, s *source, d *suiteDir, url catalog.Location, release digest.Digest) error {
	places, listed, err := r.listed(url, release)
	if err != nil {
		return err
	}
	w := r.newWorker(s.tree)
	err = s.walkDir(ctx, d.dir, 0, func(rel string, i fs.FileInfo) error {
		if classify(rel) != indexFile || s.owner(rel) != d {
			return nil
		}
		want := places[rel[len(prefixOf(d.dir)):]]
		if named, err := digest.Parse(path.Base(rel)); err == nil && path.Base(path.Dir(rel)) == "SHA256" && listed[named] {
			want = named
		}
		if want.IsZero() {
			w.skip(item{rel: rel, info: i}, NotListed, "")
			return nil
		}
		return w.take(ctx, item{rel: rel, info: i, listed: want})
	}, func(Reason, string, string) {})
	return errors.Join(err, w.end())
}

// prefixOf is what the paths of the files in dir begin with.
func prefixOf(dir string) string {
	if dir == "." {
		return ""
	}
	return dir + "/"
}

func cutSlash(dir string) string { return strings.TrimSuffix(dir, "/") }

// listed returns what a Release lists, by the path from its directory, and all digests. A
// Release is bounded, and so are these.
func (r *run) listed(url catalog.Location, release digest.Digest) (map[string]digest.Digest, map[digest.Digest]bool, error) {
	places, all := make(map[string]digest.Digest), make(map[digest.Digest]bool)
	for e, err := range r.Catalog.Listed(url, release) {
		if err != nil {
			return nil, nil, err
		}
		places[e.Location.Path[len(prefixOf(cutSlash(url.Path))):]] = e.Digest
		all[e.Digest] = true
	}
	return places, all, nil
}

// readRelease reads a Release file. It is nil if there is none that can be read.
func (r *run) readRelease(s *source, rel string) ([]byte, error) {
	f, err := s.open(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		r.report.skip(Unreadable, rel, reasonOf(err))
		return nil, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(f, peer.MaxRelease+1))
	r.Meter.Add(1, info.Size())
	switch {
	case err != nil:
		r.report.skip(Unreadable, rel, reasonOf(err))
		return nil, nil
	case len(body) > peer.MaxRelease:
		r.report.skip(NotSigned, rel, fmt.Sprintf("longer than %d bytes", peer.MaxRelease))
		return nil, nil
	}
	return body, nil
}
