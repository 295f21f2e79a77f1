package dashboard

import (
	"context"
	"fmt"
	"path"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
)

// maxIndices bounds the indices in a row; a suite with all architectures,
// translations and pdiffs has more.
const maxIndices = 100

// maxSuiteKeys bounds each list of keys in a row.
const maxSuiteKeys = 32

func (d *Dashboard) listSuites(_ context.Context, q *Window) (api.Page[api.Suite], error) {
	cut := page(d.catalog.Suites(), *q)
	answer := api.Page[api.Suite]{Total: cut.Total, Offset: cut.Offset, Items: []api.Suite{}}
	for _, s := range cut.Items {
		checked, stale := d.fetch.Checked(s.Location)
		row := suiteOf(s, checked, stale, time.Now())
		row.Shared, row.SharedWhy = d.sharing(s)
		row.CheckedBy = d.fetch.CheckedBy(s.Location)
		row.Rejected = rejectedOf(d.fetch.Rejected(s.Location))
		answer.Items = append(answer.Items, row)
	}
	return answer, nil
}

// sharing returns with which boxes a suite's files are shared, and why.
func (d *Dashboard) sharing(s catalog.SuiteInfo) (with, why string) {
	g := s.Current
	cure := "; MILLPOND_SHARE_HOSTS=" + s.Location.Host + " would share it"
	switch {
	case d.swarm == nil:
		return "nobody", "this box is in no swarm"
	case !g.Signed:
		return "nobody", "it does not count as signed"
	case g.Sharing() == catalog.WithNobody:
		return "nobody", g.Reach.Why + cure
	case d.swarm.Status().Private:
		return "members", "the swarm has members only"
	case g.Listed:
		return "all", "MILLPOND_SHARE_HOSTS has its host"
	case g.Sharing() == catalog.WithAll:
		return "all", "anybody can fetch it where it came from"
	case g.Reach.Why == "":
		return "nobody", "not before its mirror has answered again: whether it is private is not known"
	}
	return "nobody", g.Reach.Why + cure
}

// suiteOf describes a suite that was last confirmed with the mirror at checked;
// stale is why it could not be since, "" if it could.
func suiteOf(s catalog.SuiteInfo, checked time.Time, stale string, now time.Time) api.Suite {
	g := s.Current
	row := api.Suite{
		URL: s.Location.String(), Name: suiteName(s.Location), Origin: s.Origin, Codename: s.Codename,
		Signed: g.Signed, Signer: s.Signer, UnsignedWhy: g.Why, MissingKeys: first(maxSuiteKeys, s.MissingKeys), KeysAt: first(maxSuiteKeys, s.Where), SignedBy: first(maxSuiteKeys, s.SignedBy),
		Date: g.Date.UTC(), Learned: g.Learned.UTC(), Indices: []api.Index{},
	}
	for _, i := range s.Indices[:min(len(s.Indices), maxIndices)] {
		row.Indices = append(row.Indices, api.Index{Path: i.Path, Files: i.Rows})
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

// suiteName is the name in sources.list: what follows dists, or the last
// part of a flat archive's path; "" for none.
func suiteName(l catalog.Location) string {
	if l == (catalog.Location{}) {
		return ""
	}
	if _, name, ok := l.SplitSuite(); ok {
		return name
	}
	if name := path.Base(l.Path); name != "/" {
		return name
	}
	return l.Host
}
