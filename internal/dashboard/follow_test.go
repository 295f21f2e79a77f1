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
	entries, err := follow.Parse("http://deb.example.org/debian sid,forky main,contrib amd64,source depth=all; http://deb.example.org/flat lab/ arm64; http://deb.example.org/flat lab/ amd64")
	if err != nil {
		t.Fatal(err)
	}
	flat := "http://deb.example.org/flat"
	r := newRig(t, func(o *Options) {
		o.Follow = followed{
			{Location: forky, Entries: entries[:1], Depth: follow.All, Next: since.Add(time.Minute), Total: 4, Fault: "asking the mirror: away"},
			{Location: trixie, Depth: follow.Used, Used: since, Next: since.Add(time.Hour), Date: since, Held: 3, Total: 3},
			{Location: entries[1].Dirs()[0], Entries: entries[1:], Depth: follow.Used},
			{Location: entries[1].Archive, Depth: follow.Used},
		}
	})
	at, none := since.UTC(), []string{}
	want := api.Page[api.FollowedSuite]{Total: 4, Items: []api.FollowedSuite{
		{URL: forky.String(), Name: "forky", Archive: "http://deb.example.org/debian", Suite: "forky", Components: []string{"main", "contrib"}, Architectures: []string{"amd64", "source"}, Why: "setting", Depth: "all", Checked: &at, Next: at.Add(time.Minute), IndicesTotal: 4, Fault: "asking the mirror: away"},
		{URL: trixie.String(), Name: "trixie", Archive: "http://deb.example.org/debian", Suite: "trixie", Components: none, Architectures: none, Why: "clients", Depth: "used", Used: &at, Checked: &at, Next: at.Add(time.Hour), Date: &at, IndicesHeld: 3, IndicesTotal: 3},
		{URL: flat + "/lab", Name: "lab", Archive: flat, Suite: "lab/", Components: none, Architectures: []string{"arm64", "amd64"}, Why: "setting", Depth: "used", Checked: &at},
		{URL: flat, Name: "flat", Archive: flat, Suite: "./", Components: none, Architectures: none, Why: "clients", Depth: "used", Checked: &at},
	}}
	if got := get[api.Page[api.FollowedSuite]](t, r, "/api/v1/follow"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := get[api.Page[api.FollowedSuite]](t, r, "/api/v1/follow?offset=1&limit=1"); got.Total != 4 || !reflect.DeepEqual(got.Items, want.Items[1:2]) {
		t.Errorf("the second alone: %+v", got)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/follow?limit=x", "", ""); w.Code != http.StatusBadRequest {
		t.Errorf("a limit of x: %d", w.Code)
	}
}
