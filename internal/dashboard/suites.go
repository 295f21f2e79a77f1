package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
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
	cut := page(formsOf(d.catalog.Suites()), *q)
	answer := api.Page[api.Suite]{Total: cut.Total, Offset: cut.Offset, Items: []api.Suite{}}
	for _, forms := range cut.Items {
		answer.Items = append(answer.Items, d.suite(forms))
	}
	return answer, nil
}

// formsOf puts the suites together that differ in their scheme only: clients that name
// them by http and by https get the same files.
func formsOf(all []catalog.SuiteInfo) (forms [][]catalog.SuiteInfo) {
	at := make(map[catalog.Location]int)
	for _, s := range all {
		place := s.Location
		place.Scheme = ""
		i, known := at[place]
		if !known {
			i = len(forms)
			at[place], forms = i, append(forms, nil)
		}
		forms[i] = append(forms[i], s)
	}
	return forms
}

// suite describes the form that is worst off: the one in which something was rejected,
// or else the one whose state comes first in states.
func (d *Dashboard) suite(forms []catalog.SuiteInfo) (worst api.Suite) {
	var also []string
	for i, s := range forms {
		checked, stale := d.fetch.Checked(s.Location)
		row := suiteOf(s, checked, stale, time.Now())
		row.Shared, row.SharedWhy = d.sharing(s)
		row.CheckedBy = d.fetch.CheckedBy(s.Location)
		row.Rejected = rejectedOf(d.fetch.Rejected(s.Location))
		switch {
		case i == 0:
			worst = row
			continue
		case worse(&row, &worst):
			row, worst = worst, row
		}
		also = append(also, row.URL)
	}
	worst.Also = append([]string{}, also...)
	return worst
}

// states are those of a suite, the worst first. Where one form was not asked for since
// the start, the other one says more.
var states = []string{"expired", "stale", "unsigned", "fresh", "unchecked"}

func worse(a, b *api.Suite) bool {
	if (a.Rejected == nil) != (b.Rejected == nil) {
		return a.Rejected != nil
	}
	return slices.Index(states, a.State) < slices.Index(states, b.State)
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
		Date: timeIf(g.Date), Learned: g.Learned.UTC(), Indices: []api.Index{}, Also: []string{},
	}
	for _, i := range s.Indices[:min(len(s.Indices), maxIndices)] {
		row.Indices = append(row.Indices, api.Index{Path: i.Path, Files: i.Rows})
	}
	row.ValidUntil, row.Checked = timeIf(g.ValidUntil), timeIf(checked)
	switch {
	case !g.ValidUntil.IsZero() && g.ValidUntil.Before(now):
		row.State = "expired"
		row.Reason = "its Release was valid until " + g.ValidUntil.UTC().Format("2006-01-02 15:04 MST") + "; apt refuses it from then on"
	case stale != "":
		row.State, row.Reason = "stale", fmt.Sprintf("since %s: %s", checked.UTC().Format("2006-01-02 15:04 MST"), stale)
	case !g.Signed:
		row.State, row.Reason = "unsigned", "not signed: "+cmp.Or(g.Why, "no key of the box's keyring signed its Release")
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
