package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/swarm"
)

// from reads an answer of a box's API.
func from[T any](t *testing.T, b *box, path string) (answer T) {
	t.Helper()
	c := newClient(t, "")
	defer c.CloseIdleConnections()
	resp, body := c.get(t, http.MethodGet, b.url+"/api/v1/"+path)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", path, resp.Status, body)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, body)
	}
	return answer
}

// change sends an administrator's request, which must be done.
func change(t *testing.T, b *box, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+siteToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

const siteToken = "a-token-of-the-administrator"

// wait polls until a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so in 40 s: %s", what)
		}
	}
}

// office is an archive with boxes that know each other.
type office struct {
	*site
	boxes []*box
	dirs  []string
	more  []string // settings of all boxes
}

// newOffice starts n boxes; with a key they are members, else local to each other.
func newOffice(t *testing.T, n int, settings ...string) *office {
	t.Helper()
	o := &office{site: newSite(t, aptest.MirrorOptions{}, 5000, 300_000, 9_000_000), more: append(settings, "MILLPOND_ADMIN_TOKEN="+siteToken)}
	for range n {
		o.dirs = append(o.dirs, t.TempDir())
		o.boxes = append(o.boxes, nil)
		o.start(t, len(o.dirs)-1)
	}
	return o
}

// start starts box i, and waits until it and the others have each other's figures.
func (o *office) start(t *testing.T, i int, more ...string) {
	t.Helper()
	var known []string
	for _, b := range o.boxes {
		if b != nil {
			known = append(known, b.url)
		}
	}
	settings := append(append([]string{"MILLPOND_BOOTSTRAP=" + strings.Join(known, ",")}, o.more...), more...)
	o.boxes[i] = start(t, o.environ(o.dirs[i], settings...))
	for _, b := range o.boxes {
		if b != nil {
			wait(t, "all boxes have told their figures", func() bool {
				s := from[api.Site](t, b, "site").All
				return s.Boxes-s.Away == len(known)+1
			})
		}
	}
}

// stop stops box i.
func (o *office) stop(t *testing.T, i int) {
	t.Helper()
	if err := o.boxes[i].stop(); err != nil {
		t.Fatal(err)
	}
	o.boxes[i] = nil
}

// visit has clients behind box i update and get the packages.
func (o *office) visit(t *testing.T, i int, addresses ...string) (got int64) {
	t.Helper()
	base := o.Mirror.URL("/debian")
	for _, from := range addresses {
		c := newClientAt(t, o.boxes[i].url, from)
		c.update(t, o.site, base)
		for _, deb := range o.debs {
			c.want(t, base+"/"+deb.Path, deb.Data)
		}
		c.CloseIdleConnections()
		got += c.got
	}
	return got
}

// The boxes fetch from each other and from the mirror. Each of them shows the sum of
// what clients got and what the mirror sent, to the byte; a client that came to two of
// them counts once.
func TestSiteCountsEachByteOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 3, "MILLPOND_SWARM_KEY="+strings.TrimSpace(string(swarm.NewKey())))
	clients := o.visit(t, 0, "127.0.0.2", "127.0.0.3")
	clients += o.visit(t, 1, "127.0.0.3", "127.0.0.4")
	clients += o.visit(t, 2, "127.0.0.2")
	var mirror int64
	for _, b := range o.boxes {
		wait(t, "each box shows what clients got and the mirror sent", func() bool {
			s := from[api.Site](t, b, "site").Proved
			mirror = o.Mirror.BytesSent("*")
			return s.ClientBytes == clients && s.MirrorBytes == mirror && s.SavedBytes == clients-mirror && s.Clients == 3
		})
		s := from[api.Site](t, b, "site").Proved
		if s.FromStore+s.FromPeers+s.FromMirror != clients || s.FromPeers == 0 || s.PeerBytesIn < s.FromPeers || !s.ClientsExact || s.Packages != 3 || s.Away != 0 {
			t.Errorf("%+v", s)
		}
		wait(t, "the series of all boxes has each byte", func() bool {
			var sum int64
			for _, p := range from[api.Series](t, b, "site/series?step=minute").Points {
				sum += p.ClientBytes - p.MirrorBytes
			}
			return sum == clients-mirror
		})
	}
	if alone := summary(t, o.boxes[0].url); alone.ClientBytes >= clients {
		t.Errorf("box 0 alone has %d of %d bytes", alone.ClientBytes, clients)
	}
	if n := o.Mirror.Requests("*.deb"); n != len(o.debs) {
		t.Errorf("the mirror was asked for debs %d times, want %d: the boxes had nothing from each other", n, len(o.debs))
	}
	suites := from[api.SiteSuites](t, o.boxes[0], "site/suites").Suites
	if len(suites) != 1 || suites[0].Boxes != 3 || suites[0].State != "fresh" {
		t.Errorf("%+v", suites)
	}
	if p := from[api.SitePackages](t, o.boxes[2], "site/packages").Packages; len(p) != 3 || p[0].Boxes != 3 {
		t.Errorf("%+v", p)
	}
}

// A box that leaves keeps its last figures, across restarts, until it is forgotten; names
// that are given on one box are shown by the others.
func TestBoxThatIsAway(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 2, "MILLPOND_SWARM_KEY="+strings.TrimSpace(string(swarm.NewKey())))
	clients := o.visit(t, 0, "127.0.0.2") + o.visit(t, 1, "127.0.0.3")
	gone := o.boxes[1].swarm.Identity().ID
	change(t, o.boxes[1], http.MethodPut, "site/boxes/"+gone+"/name", `{"name":"library"}`)
	change(t, o.boxes[1], http.MethodPut, "clients/name", `{"address":"127.0.0.2","name":"front desk"}`)
	complete := func(s api.SiteSum, away int) bool {
		return s.ClientBytes == clients && s.MirrorBytes == o.Mirror.BytesSent("*") && s.Away == away && s.Boxes == 2
	}
	wait(t, "box 0 has the figures and names of box 1", func() bool {
		accounts := from[api.Page[api.Account]](t, o.boxes[0], "clients").Items
		return complete(from[api.Site](t, o.boxes[0], "site").Proved, 0) && accounts[0].GivenName == "front desk"
	})
	o.stop(t, 1)
	wait(t, "box 1 is away", func() bool { return complete(from[api.Site](t, o.boxes[0], "site").Proved, 1) })
	o.stop(t, 0)
	o.start(t, 0)
	if s := from[api.Site](t, o.boxes[0], "site").Proved; !complete(s, 1) {
		t.Errorf("after a restart: %+v", s)
	}
	boxes := from[api.SiteBoxes](t, o.boxes[0], "site/boxes").Boxes
	if len(boxes) != 2 || !boxes[1].Away || boxes[1].ID != gone || boxes[1].GivenName != "library" || time.Since(boxes[1].Seen) > time.Minute {
		t.Errorf("%+v", boxes)
	}
	change(t, o.boxes[0], http.MethodDelete, "site/boxes/"+gone, "")
	if s := from[api.Site](t, o.boxes[0], "site").Proved; s.Boxes != 1 || s.ClientBytes != summary(t, o.boxes[0].url).ClientBytes {
		t.Errorf("once it is forgotten: %+v", s)
	}
}

// Without a key, boxes are local to each other: they show each other's figures apart,
// and clients only where the page does.
func TestLocalBoxesAreUnproved(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 2)
	clients := []int64{o.visit(t, 0, "127.0.0.2"), o.visit(t, 1, "127.0.0.2")}
	wait(t, "box 0 has the figures of box 1", func() bool {
		s := from[api.Site](t, o.boxes[0], "site")
		return s.Proved.ClientBytes == clients[0] && s.All.ClientBytes == clients[0]+clients[1] && s.All.Clients == 1 && s.All.ClientsExact
	})
	boxes := from[api.SiteBoxes](t, o.boxes[0], "site/boxes").Boxes
	if i := slices.IndexFunc(boxes, func(b api.SiteBox) bool { return b.Unproved }); len(boxes) != 2 || i != 1 || boxes[i].Kind != "local" {
		t.Errorf("%+v", boxes)
	}
	// A box whose page is not for everybody tells how many clients it has, and not which.
	o.stop(t, 1)
	o.start(t, 1, "MILLPOND_DASHBOARD_ACCESS=127.0.0.0/8")
	wait(t, fmt.Sprintf("box 0 does not know which clients box 1 has: %+v", from[api.Site](t, o.boxes[0], "site").All), func() bool {
		s := from[api.Site](t, o.boxes[0], "site").All
		return s.Away == 0 && s.Clients == 2 && !s.ClientsExact
	})
}
