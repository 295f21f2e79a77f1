package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
)

// Slice is what GET /api/v1/slice returns: the part of the archives that is
// held, as it was when last counted. A file that several archives list counts
// for one of them.
type Slice struct {
	Surveyed time.Time `json:"surveyed"` // zero before the first survey
	Running  bool      `json:"running"`  // it is being counted anew; ask again
	Holdings []Holding `json:"holdings"` // never null, largest first
}

// Holding is how much is held of one architecture of one component. Suites
// share packages, so that Suite stands at indices only. Other names are empty
// where they are not known.
type Holding struct {
	group
	Files  int64     `json:"files"`
	Bytes  int64     `json:"bytes"`
	Newest time.Time `json:"newest"` // by when the mirror last changed the file
	Oldest time.Time `json:"oldest"`
}

type group struct {
	Archive      string `json:"archive"`
	Suite        string `json:"suite"`
	Component    string `json:"component"`
	Architecture string `json:"architecture"` // "source" for sources, "index" for indices
}

const (
	// maxHoldings bounds the rows of a survey; what finds no place in them is
	// counted under no name.
	maxHoldings = 2000
	// surveyAfter is how old a survey may be when it is asked for. One of
	// 200,000 files takes some seconds of a processor.
	surveyAfter = 10 * time.Minute
)

// survey is the last count of what is held.
type survey struct {
	wanted chan struct{} // tells Run to count

	mu   sync.Mutex
	last Slice // guarded by mu
}

// surveys counts what is held when that is wanted, until ctx ends, then returns
// nil.
func (d *Dashboard) surveys(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.survey.wanted:
		}
		s, err := d.count(ctx)
		if err != nil && ctx.Err() == nil {
			d.Log.Error("what is held could not be counted", "err", err)
		}
		d.survey.mu.Lock()
		if d.survey.last.Running = false; err == nil {
			d.survey.last = s
		}
		d.survey.mu.Unlock()
	}
}

func (d *Dashboard) slice(w http.ResponseWriter, _ *http.Request) {
	d.survey.mu.Lock()
	if !d.survey.last.Running && time.Since(d.survey.last.Surveyed) > surveyAfter {
		select {
		case d.survey.wanted <- struct{}{}:
			d.survey.last.Running = true
		default: // Run is about to take it
		}
	}
	answer := d.survey.last
	d.survey.mu.Unlock()
	answer.Holdings = append([]Holding{}, answer.Holdings...)
	d.json(w, http.StatusOK, answer)
}

// count looks at every blob.
func (d *Dashboard) count(ctx context.Context) (Slice, error) {
	all := make(map[group]*Holding)
	for info, err := range d.Store.All() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return Slice{}, err
		}
		var g group
		if e, ok := d.Describe(info.Digest); ok {
			g = groupOf(e)
		}
		if all[g] == nil && len(all) >= maxHoldings {
			g = group{}
		}
		h := all[g]
		if h == nil {
			h = &Holding{group: g, Newest: info.Modified.UTC(), Oldest: info.Modified.UTC()}
			all[g] = h
		}
		h.add(info.Size, info.Modified.UTC())
	}
	s := Slice{Surveyed: time.Now().UTC()}
	for _, h := range all {
		s.Holdings = append(s.Holdings, *h)
	}
	slices.SortFunc(s.Holdings, func(a, b Holding) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Archive, b.Archive), cmp.Compare(a.Suite, b.Suite),
			cmp.Compare(a.Component, b.Component), cmp.Compare(a.Architecture, b.Architecture))
	})
	return s, nil
}

func (h *Holding) add(size int64, modified time.Time) {
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
func groupOf(e catalog.Entry) group {
	if e.Suite == (catalog.Location{}) {
		archive, rest, pooled := strings.Cut(e.Location.Path, "/pool/")
		if !pooled {
			archive = path.Dir(archive)
		}
		g := group{Archive: e.Location.Host + strings.TrimRight(archive, "/")}
		g.Component, _, _ = strings.Cut(rest, "/")
		g.Architecture = architectureOf(e.Location.Name(), "source")
		return g
	}
	archive, _, _ := strings.Cut(e.Suite.Path+"/", "/dists/")
	g := group{Archive: e.Location.Host + strings.TrimRight(archive, "/"), Suite: suiteName(e.Suite)}
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
	if ext := path.Ext(name); ext == ".deb" || ext == ".udeb" || ext == ".ddeb" {
		name = strings.TrimSuffix(name, ext)
		return name[strings.LastIndexByte(name, '_')+1:]
	}
	return otherwise
}
