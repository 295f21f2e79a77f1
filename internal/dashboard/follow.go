package dashboard

import (
	"context"
	"slices"

	"millpond/internal/api"
	"millpond/internal/deb"
	"millpond/internal/follow"
)

// Follower keeps suites up to date; *follow.Follower.
type Follower interface {
	// State returns the followed suites, without when each was last checked, which
	// Check fills in.
	State() []follow.Suite
	Check([]follow.Suite)
}

func (d *Dashboard) listFollowed(_ context.Context, q *Window) (api.Page[api.FollowedSuite], error) {
	cut := page(d.follow.State(), *q)
	d.follow.Check(cut.Items)
	answer := api.Page[api.FollowedSuite]{Total: cut.Total, Offset: cut.Offset, Items: []api.FollowedSuite{}}
	for _, s := range cut.Items {
		row := api.FollowedSuite{
			URL: s.Location.String(), Name: suiteName(s.Location), Why: "clients", Depth: string(s.Depth),
			Used: timeIf(s.Used), Checked: timeIf(s.Checked), Next: s.Next.UTC(), Date: timeIf(s.Date),
			IndicesHeld: s.Held, IndicesTotal: s.Total, Fault: s.Fault,
		}
		if s.Setting() {
			row.Why = "setting"
		}
		nameAsIn(&row, s)
		answer.Items = append(answer.Items, row)
	}
	return answer, nil
}

// nameAsIn fills in how sources.list names a followed suite. Of what clients use the URLs
// tell: a flat repository may be one below its directory as well.
func nameAsIn(row *api.FollowedSuite, s follow.Suite) {
	archive, suite, ok := s.Location.SplitSuite()
	if !ok {
		suite = "./"
	}
	if s.Setting() {
		archive, suite = s.Entries[0].Archive, s.Entries[0].Suite(s.Location)
	}
	row.Archive, row.Suite, row.Components, row.Architectures = archive.String(), suite, []string{}, []string{}
	for _, e := range s.Entries {
		row.Components = addOnce(row.Components, e.Components...)
		row.Architectures = addOnce(row.Architectures, e.Architectures...)
		if e.Sources {
			row.Architectures = addOnce(row.Architectures, deb.Source)
		}
	}
}

// addOnce adds the names that are not there yet.
func addOnce(all []string, names ...string) []string {
	for _, n := range names {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}
