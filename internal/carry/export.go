package carry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/disk"
	"millpond/internal/jobs"
	"millpond/internal/store"
)

// Generations knows what suites consist of; a catalog.Catalog is one.
type Generations interface {
	Suites() []catalog.SuiteInfo
	Generation(suite catalog.Location, id digest.Digest) (catalog.Generation, bool)
	ReleaseFile(dir catalog.Location, id digest.Digest, name string) (digest.Digest, bool)
	Listed(dir catalog.Location, release digest.Digest) iter.Seq2[catalog.Entry, error]
	Packages(suite catalog.Location) iter.Seq2[catalog.Entry, error]
	Sources(suite catalog.Location) iter.Seq2[catalog.Entry, error]
}

// Exporter writes what a box holds into a directory.
type Exporter struct {
	Store   Store
	Catalog Generations
	Meter   *jobs.Meter
}

// Export writes a tree below dir that apt can use over file:, of the suites with those
// names or URLs, of all for none. It writes what is held alone, and a Release last, so that
// a tree is whole at any moment; a file that is there already stays if it has the right
// bytes. The error is ctx's, or says that dir takes no more.
func (x *Exporter) Export(ctx context.Context, dir string, names []string) (*Report, error) {
	w := &writer{dir: dir, store: x.Store, meter: x.Meter, report: newReport()}
	suites, err := chosen(x.Catalog.Suites(), names)
	if err != nil {
		return w.report, err
	}
	if err := w.open(); err != nil {
		return w.report, err
	}
	defer w.root.Close()
	for _, s := range suites {
		if err := x.count(ctx, s); err != nil {
			return w.report, err
		}
	}
	for _, s := range suites {
		if err := x.suite(ctx, w, s); err != nil {
			return w.report, errors.Join(err, disk.SyncAll(dir))
		}
	}
	return w.report, disk.SyncAll(dir)
}

// chosen returns the suites with those names.
func chosen(all []catalog.SuiteInfo, names []string) (found []catalog.SuiteInfo, err error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		n := len(found)
		for _, s := range all {
			_, short, _ := s.Location.SplitSuite()
			if short == name || s.Location.String() == strings.TrimRight(name, "/") {
				found = append(found, s)
			}
		}
		if len(found) == n {
			var known []string
			for _, s := range all[:min(len(all), maxExamples)] {
				known = append(known, s.Location.String())
			}
			return nil, fmt.Errorf("no suite %q is known; known are %s", name, cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	return found, nil
}

// contents yields the packages, sources and indices of a suite's current generation.
func contents(c Generations, s catalog.SuiteInfo) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) {
		for _, all := range []iter.Seq2[catalog.Entry, error]{c.Packages(s.Location), c.Sources(s.Location), c.Listed(s.Location, s.Current.ID)} {
			for e, err := range all {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// count tells the Meter how much of a suite is held.
func (x *Exporter) count(ctx context.Context, s catalog.SuiteInfo) error {
	for e, err := range contents(x.Catalog, s) {
		if err = cmp.Or(err, context.Cause(ctx)); err != nil {
			return err
		}
		if _, err := x.Store.Stat(e.Digest); err == nil {
			x.Meter.More(1, e.Size)
		}
	}
	return nil
}

// suite writes what is held of a suite.
func (x *Exporter) suite(ctx context.Context, w *writer, s catalog.SuiteInfo) error {
	for e, err := range contents(x.Catalog, s) {
		if err == nil {
			err = w.put(ctx, e.Location, e.Digest)
		}
		if err != nil {
			return err
		}
	}
	if err := w.releases(ctx, x.Catalog, s.Location, s.Current); err != nil {
		return err
	}
	w.report.Suites = append(w.report.Suites, w.source(s))
	return nil
}

// writer writes blobs into a directory, and nothing out of it: others may have filled a
// stick, with symbolic links as well.
type writer struct {
	dir    string
	root   *os.Root // of dir
	store  Store
	meter  *jobs.Meter
	report *Report

	sharing disk.Sharing
}

// open makes the directory, if it is not there, and opens it.
func (w *writer) open() (err error) {
	if err = os.MkdirAll(w.dir, 0o755); err == nil {
		w.root, err = os.OpenRoot(w.dir)
	}
	return err
}

// releases writes the Release files of a generation.
func (w *writer) releases(ctx context.Context, c Generations, dir catalog.Location, g catalog.Generation) error {
	for _, name := range []string{"Release.gpg", "Release", "InRelease"} {
		d, ok := c.ReleaseFile(dir, g.ID, name)
		if !ok {
			continue
		}
		if err := w.put(ctx, dir.Join(name), d); err != nil {
			return err
		}
	}
	return nil
}

// source is a line of sources.list for a suite that was exported.
func (w *writer) source(s catalog.SuiteInfo) string {
	base, name, ok := s.Location.SplitSuite()
	dir, err := filepath.Abs(w.dir)
	if err != nil {
		dir = w.dir
	}
	url := "deb file:" + path.Join(dir, placeOf(base))
	if !ok {
		return url + " ./"
	}
	var components []string
	for _, x := range s.Indices {
		c, _, ok := strings.Cut(x.Path, "/binary-")
		if ok && !strings.HasSuffix(c, "/debian-installer") && !slices.Contains(components, c) {
			components = append(components, c)
		}
	}
	return strings.TrimRight(url+" "+name+" "+strings.Join(components, " "), " ")
}

// put writes the file at l, if it is held. The error ends the export.
func (w *writer) put(ctx context.Context, l catalog.Location, d digest.Digest) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	info, err := w.store.Stat(d)
	if err != nil {
		w.report.missing()
		return nil
	}
	if len(info.Private) > 0 {
		w.report.skip(WithLogin, l.String(), "")
		w.meter.Skip(1, info.Size)
		return nil
	}
	rel := placeOf(l)
	if !filepath.IsLocal(rel) {
		w.report.skip(BadName, l.String(), "")
		return nil
	}
	b, err := w.store.OpenVerified(ctx, d)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was evicted or is damaged
		w.report.missing()
		return nil
	case err != nil:
		return err
	}
	defer b.Close()
	return w.write(ctx, rel, b)
}

// write writes a blob as the file at rel, unless it is there.
func (w *writer) write(ctx context.Context, rel string, b *store.Blob) error {
	if err := w.root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return err
	}
	dir, err := w.root.Open(path.Dir(rel))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := disk.In(dir, path.Base(rel))
	i := b.Info()
	if isThere(ctx, name, b) {
		w.report.held(i.Size)
		w.meter.Add(1, i.Size)
		return nil
	}
	temp := name + beside
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	way, shared, err := w.sharing.Share(b.File, temp, true)
	if err == nil && !shared {
		err = copyTo(temp, b)
	}
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		os.Remove(temp) // what is left of it is of no use
		return err
	}
	w.report.add(i.Size, store.Taken{Way: way}, false)
	w.meter.Add(1, i.Size)
	return nil
}

// beside is what the name of a file ends with while it is written.
const beside = ".millpond-new"

// isThere reports whether the file at name has the bytes of b.
func isThere(ctx context.Context, name string, b *store.Blob) bool {
	was, err := os.Lstat(name)
	if err != nil || !was.Mode().IsRegular() || was.Size() != b.Info().Size {
		return false
	}
	if is, err := b.Stat(); err == nil && os.SameFile(was, is) {
		return true
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	h := digest.NewHasher()
	_, err = io.Copy(h, contextReader{ctx, f})
	return err == nil && h.Digest() == b.Info().Digest
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

func copyTo(name string, b *store.Blob) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, b.File)
	return errors.Join(err, f.Close())
}
