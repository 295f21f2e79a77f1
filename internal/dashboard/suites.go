package dashboard

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"millpond/internal/catalog"
)

// Suite is a row of GET /api/v1/suites: a suite that clients use.
type Suite struct {
	URL         string     `json:"url"`  // of its directory
	Name        string     `json:"name"` // as in sources.list
	Origin      string     `json:"origin"`
	Codename    string     `json:"codename"`
	State       string     `json:"state"`  // "fresh", "stale", "expired" or "unchecked"
	Reason      string     `json:"reason"` // for the state
	Signed      bool       `json:"signed"`
	UnsignedWhy string     `json:"unsigned_why"`
	Date        time.Time  `json:"date"`        // of the Release
	ValidUntil  *time.Time `json:"valid_until"` // null: no end
	Checked     *time.Time `json:"checked"`     // with the mirror, last; null if not known
	Learned     time.Time  `json:"learned"`     // when this generation was first seen
	Indices     []Index    `json:"indices"`     // never null
}

// Index is a list of files that the box has read.
type Index struct {
	Path  string `json:"path"` // relative to the suite's directory
	Files int64  `json:"files"`
}

// maxIndices bounds the indices in a row; a suite with all architectures,
// translations and pdiffs has more.
const maxIndices = 100

func (d *Dashboard) suites(w http.ResponseWriter, r *http.Request) {
	win, err := windowOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cut := page(d.Suites(), win)
	answer := Page[Suite]{Total: cut.Total, Offset: cut.Offset, Items: []Suite{}}
	for _, s := range cut.Items {
		checked, stale := d.Checked(s.Location)
		answer.Items = append(answer.Items, suiteOf(s, checked, stale, time.Now()))
	}
	d.json(w, http.StatusOK, answer)
}

// suiteOf judges a suite that was last confirmed at checked and could not be
// since, for the reason stale.
func suiteOf(s catalog.SuiteInfo, checked time.Time, stale string, now time.Time) Suite {
	g := s.Current
	row := Suite{
		URL: s.Location.String(), Name: suiteName(s.Location), Origin: s.Origin, Codename: s.Codename,
		Signed: g.Signed, UnsignedWhy: g.Why, Date: g.Date.UTC(), Learned: g.Learned.UTC(), Indices: []Index{},
	}
	for _, i := range s.Indices[:min(len(s.Indices), maxIndices)] {
		row.Indices = append(row.Indices, Index{i.Path, i.Rows})
	}
	if !g.ValidUntil.IsZero() {
		until := g.ValidUntil.UTC()
		row.ValidUntil = &until
	}
	if !checked.IsZero() {
		checked = checked.UTC()
		row.Checked = &checked
	}
	switch {
	case !g.ValidUntil.IsZero() && g.ValidUntil.Before(now):
		row.State = "expired"
		row.Reason = "its Release was valid until " + g.ValidUntil.UTC().Format("2006-01-02 15:04 MST") + "; apt refuses it from then on"
	case stale != "":
		row.State, row.Reason = "stale", fmt.Sprintf("since %s: %s", checked.Format("2006-01-02 15:04 MST"), stale)
	case checked.IsZero():
		row.State, row.Reason = "unchecked", "no client has asked for it since this box knows"
	default:
		row.State, row.Reason = "fresh", "the mirror had nothing newer when last asked"
	}
	return row
}

// suiteName is what stands in sources.list: what follows dists, or the last
// part of a flat archive's path; "" for none.
func suiteName(l catalog.Location) string {
	if l == (catalog.Location{}) {
		return ""
	}
	if _, name, ok := strings.Cut(l.Path, "/dists/"); ok {
		return name
	}
	if name := path.Base(l.Path); name != "/" {
		return name
	}
	return l.Host
}
