package dashboard

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/follow"
)

// followed is a Follower of these suites, all of which were checked at since.
type followed []follow.Suite

func (f followed) State() []follow.Suite { return f }

func (followed) Check(suites []follow.Suite) {
	for i := range suites {
		suites[i].Checked = since
	}
}

func TestFollowed(t *testing.T) {
	t.Parallel()
	trixie := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/trixie"}
	forky := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/forky"}
	r := newRig(t, func(o *Options) {
		o.Follow = followed{
			{Location: forky, Setting: true, Depth: follow.All, Next: since.Add(time.Minute), Total: 4, Fault: "asking the mirror: away"},
			{Location: trixie, Depth: follow.Used, Used: since, Next: since.Add(time.Hour), Date: since, Held: 3, Total: 3},
		}
	})
	at := since.UTC()
	want := api.Page[api.FollowedSuite]{Total: 2, Items: []api.FollowedSuite{
		{URL: forky.String(), Name: "forky", Why: "setting", Depth: "all", Checked: &at, Next: at.Add(time.Minute), IndicesTotal: 4, Fault: "asking the mirror: away"},
		{URL: trixie.String(), Name: "trixie", Why: "clients", Depth: "used", Used: &at, Checked: &at, Next: at.Add(time.Hour), Date: &at, IndicesHeld: 3, IndicesTotal: 3},
	}}
	if got := get[api.Page[api.FollowedSuite]](t, r, "/api/v1/follow"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := get[api.Page[api.FollowedSuite]](t, r, "/api/v1/follow?offset=1&limit=1"); got.Total != 2 || !reflect.DeepEqual(got.Items, want.Items[1:]) {
		t.Errorf("the second alone: %+v", got)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/follow?limit=x", "", ""); w.Code != http.StatusBadRequest {
		t.Errorf("a limit of x: %d", w.Code)
	}
}
