package dashboard

import (
	"context"
	"time"

	"millpond/internal/api"
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
			Used: timeOf(s.Used), Checked: timeOf(s.Checked), Next: s.Next.UTC(), Date: timeOf(s.Date),
			IndicesHeld: s.Held, IndicesTotal: s.Total, Fault: s.Fault,
		}
		if s.Setting {
			row.Why = "setting"
		}
		answer.Items = append(answer.Items, row)
	}
	return answer, nil
}

// timeOf is t, or nil where it is not known.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
