package dashboard

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/api"
	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/deb"
)

const (
	// maxHoldings bounds the rows of a survey; the rest is counted in
	// one row without names.
	maxHoldings = 2000
	// surveyAfter is how old a survey may be when it is asked for. One of
	// 200,000 files takes some seconds of a processor.
	surveyAfter = 10 * time.Minute
)

// survey is the last count of what is held.
type survey struct {
	wanted broadcast.Wake // has Run count

	mu   sync.Mutex
	last api.Slice // guarded by mu
}

// surveys counts what is held, on demand, until ctx ends, then returns nil.
func (d *Dashboard) surveys(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.survey.wanted:
		}
		s, err := d.count(ctx)
		if err != nil && ctx.Err() == nil {
			d.log.Error("count of held files failed", "err", err)
		}
		d.survey.mu.Lock()
		if d.survey.last.Running = false; err == nil {
			d.survey.last = s
		}
		d.survey.mu.Unlock()
	}
}

// getSlice returns the last count, and starts a new one if that is old.
func (d *Dashboard) getSlice(context.Context, *none) (api.Slice, error) {
	d.survey.mu.Lock()
	defer d.survey.mu.Unlock()
	if !d.survey.last.Running && (d.survey.last.Surveyed == nil || time.Since(*d.survey.last.Surveyed) > surveyAfter) {
		d.survey.last.Running = true
		d.survey.wanted.Call()
	}
	answer := d.survey.last
	answer.Holdings = append([]api.Holding{}, answer.Holdings...)
	return answer, nil
}

// count looks at every blob.
func (d *Dashboard) count(ctx context.Context) (api.Slice, error) {
	all := make(map[api.Group]*api.Holding)
	for info, err := range d.store.All() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return api.Slice{}, err
		}
		var g api.Group
		if e, ok := d.catalog.Describe(info.Digest); ok {
			g = groupOf(e)
		}
		if all[g] == nil && len(all) >= maxHoldings {
			g = api.Group{}
		}
		h := all[g]
		if h == nil {
			h = &api.Holding{Group: g, Newest: info.Modified.UTC(), Oldest: info.Modified.UTC()}
			all[g] = h
		}
		addTo(h, info.Size, info.Modified.UTC())
	}
	s := api.Slice{Surveyed: timeIf(time.Now())}
	for _, h := range all {
		s.Holdings = append(s.Holdings, *h)
	}
	slices.SortFunc(s.Holdings, func(a, b api.Holding) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Archive, b.Archive), cmp.Compare(a.Suite, b.Suite),
			cmp.Compare(a.Component, b.Component), cmp.Compare(a.Architecture, b.Architecture))
	})
	return s, nil
}

func addTo(h *api.Holding, size int64, modified time.Time) {
	h.Files++
	h.Bytes += size
	if modified.After(h.Newest) {
		h.Newest = modified
	}
	if modified.Before(h.Oldest) {
		h.Oldest = modified
	}
}

// groupOf reads archive, component and architecture off the path, as Debian
// lays files out: pool/COMPONENT/…/NAME_VERSION_ARCH.deb, which all suites
// share, and dists/SUITE/COMPONENT/….
func groupOf(e catalog.Entry) api.Group {
	if e.Suite == (catalog.Location{}) {
		archive, rest, _ := e.Location.SplitPool()
		g := api.Group{Archive: e.Location.Host + strings.TrimRight(archive.Path, "/")}
		g.Component, _, _ = strings.Cut(rest, "/")
		g.Architecture = architectureOf(e.Location.Name(), "source")
		return g
	}
	archive, _, _ := e.Suite.SplitSuite()
	g := api.Group{Archive: e.Location.Host + strings.TrimRight(archive.Path, "/"), Suite: suiteName(e.Suite)}
	if rest, ok := strings.CutPrefix(e.Location.Path, e.Suite.Path+"/"); ok {
		if component, _, ok := strings.Cut(rest, "/"); ok {
			g.Component = component
		}
	}
	g.Architecture = architectureOf(e.Location.Name(), "index")
	return g
}

// architectureOf reads it off a package's name.
func architectureOf(name, otherwise string) string {
	if f, ok := deb.ParseFileName(name); ok {
		return f.Architecture
	}
	return otherwise
}
