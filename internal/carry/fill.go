package carry

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/disk"
	"millpond/internal/jobs"
)

// Fetcher fetches what a box lacks; a fetch.Fetcher is one.
type Fetcher interface {
	Refresh(ctx context.Context, dir catalog.Location) error
	Keep(ctx context.Context, e catalog.Entry) error
}

// Filler fills media for boxes without a network.
type Filler struct {
	Store   Store
	Catalog Generations
	Fetch   Fetcher
	Meter   *jobs.Meter
}

// Fill fetches what a list names, the present Releases of its suites and the indices that
// go with them, and writes it below dir as Export does. What could not be fetched is in the
// report. The error is ctx's, or says that dir takes no more.
func (f *Filler) Fill(ctx context.Context, dir string, list *WantList) (*Report, error) {
	w := &writer{dir: dir, store: f.Store, meter: f.Meter, report: newReport()}
	if err := w.open(); err != nil {
		return w.report, err
	}
	defer w.root.Close()
	for _, file := range list.Files {
		f.Meter.More(1, file.Size)
	}
	err := f.fill(ctx, w, list)
	return w.report, errors.Join(err, disk.SyncAll(dir))
}

func (f *Filler) fill(ctx context.Context, w *writer, list *WantList) error {
	for _, file := range list.Files {
		e := catalog.Entry{Location: file.At, Kind: catalog.Content, Digest: file.Digest, Size: file.Size}
		if err := f.bring(ctx, w, e); err != nil {
			return err
		}
	}
	for _, s := range list.Suites {
		if err := f.suite(ctx, w, s); err != nil {
			return err
		}
	}
	return nil
}

// bring fetches a file and writes it. The error ends all.
func (f *Filler) bring(ctx context.Context, w *writer, e catalog.Entry) error {
	if err := f.Fetch.Keep(ctx, e); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.report.skip(NotFetched, e.Location.String(), err.Error())
		w.meter.Skip(1, max(e.Size, 0))
		return nil
	}
	return w.put(ctx, e.Location, e.Digest)
}

// suite brings the present Release of a suite, and the indices that the list names of it.
func (f *Filler) suite(ctx context.Context, w *writer, s WantedSuite) error {
	if err := f.Fetch.Refresh(ctx, s.Dir); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.report.skip(NotFetched, s.Dir.String(), err.Error())
	}
	g, ok := f.Catalog.Generation(s.Dir, digest.Digest{})
	if !ok {
		return nil
	}
	listed := make(map[string]catalog.Entry)
	for e, err := range f.Catalog.Listed(s.Dir, g.ID) {
		if err != nil {
			return err
		}
		listed[e.Location.Path[len(prefixOf(cutSlash(s.Dir.Path))):]] = e
	}
	for _, e := range wantedOf(listed, s.Indices) {
		f.Meter.More(1, e.Size)
		if err := f.bring(ctx, w, e); err != nil {
			return err
		}
	}
	if err := w.releases(ctx, f.Catalog, s.Dir, g); err != nil {
		return err
	}
	w.report.Suites = append(w.report.Suites, s.Dir.String()+" of "+g.Date.UTC().Format("2006-01-02 15:04"))
	return nil
}

// compressions are the ends of an index's names, in the order in which apt tries them.
var compressions = []string{".xz", ".zst", ".bz2", ".lzma", ".gz", ".lz4", ""}

// usual chooses what a box wants that has had nothing of a suite yet: what apt asks for on
// a machine like this one, in English.
func usual(listed map[string]catalog.Entry) (names []string) {
	for name := range listed {
		component, arch := path.Split(path.Dir(name))
		switch path.Base(name) {
		case "Packages":
			arch, isArch := strings.CutPrefix(arch, "binary-")
			if isArch && arch != "all" && arch != deb.Machine() || strings.HasSuffix(component, "debian-installer/") {
				continue
			}
		case "Translation-en":
		default:
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wantedOf chooses the indices of those names from what a Release lists, in another
// compression if there is none with that name.
func wantedOf(listed map[string]catalog.Entry, names []string) (all []catalog.Entry) {
	if len(names) == 0 {
		names = usual(listed)
	}
	seen := make(map[digest.Digest]bool)
	for _, name := range names {
		e, ok := listed[name]
		stem := path.Join(path.Dir(name), catalog.Location{Path: "/" + path.Base(name)}.Stem())
		if !ok || name == stem { // the plain form is listed where the archive does not have it
			for _, end := range compressions {
				if e, ok = listed[stem+end]; ok {
					break
				}
			}
		}
		if ok && !seen[e.Digest] {
			seen[e.Digest] = true
			all = append(all, e)
		}
	}
	return all
}
