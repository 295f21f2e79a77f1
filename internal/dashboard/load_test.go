package dashboard

import (
	"net/http"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// Each host that tunnels led to comes with its bytes, its clients and what would have
// its files cached; those with most bytes first.
func TestTunnels(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if got := get[api.Tunnels](t, r, "/api/v1/tunnels"); got.Total != 0 || got.Items == nil || got.Days != 30 {
		t.Errorf("before there are any: %+v", got)
	}
	a, b := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.4")
	for host, n := range map[string]int64{"small.example.org:8443": 10, "download.vendor.example:443": 3000, "[fd00::5]:443": 20} {
		r.ledger.TunnelOpened(a, host)
		r.ledger.Tunnelled(a, host, n)
	}
	r.ledger.TunnelOpened(b, "download.vendor.example:443")
	r.ledger.Tunnelled(b, "download.vendor.example:443", 100)
	r.ledger.Tunnelled(a, "", 1)
	got := get[api.Tunnels](t, r, "/api/v1/tunnels?days=7&limit=3")
	if got.Total != 4 || got.Bytes != 3131 || got.Days != 7 || len(got.Items) != 3 {
		t.Fatalf("%+v", got)
	}
	first := got.Items[0]
	if first.Host != "download.vendor.example" || first.Bytes != 3100 || first.Tunnels != 2 || first.BytesEver != 3100 || len(first.Days) != 1 || len(first.Clients) != 2 {
		t.Errorf("%+v", first)
	}
	if first.Source != "https://download.vendor.example/" || first.ThroughBox != "/https/download.vendor.example/" || first.AsProxy != "http://HTTPS///download.vendor.example/" {
		t.Errorf("the lines are %q, %q, %q", first.Source, first.ThroughBox, first.AsProxy)
	}
	if got.Items[1].Source != "https://[fd00::5]/" || got.Items[2].ThroughBox != "/https/small.example.org:8443/" {
		t.Errorf("%+v", got.Items)
	}
	if last := get[api.Tunnels](t, r, "/api/v1/tunnels?offset=3").Items[0]; last.Host != ledger.Others || last.Source != "" || last.Bytes != 1 {
		t.Errorf("%+v", last)
	}
	for _, days := range []string{"0", "32", "x"} {
		if w := r.do(t, http.MethodGet, "/api/v1/tunnels?days="+days, "", ""); w.Code != http.StatusBadRequest {
			t.Errorf("days=%s: %d", days, w.Code)
		}
	}
}

// What a mirror is asked and sends stands beside what clients would have asked of it.
func TestMirrorLoads(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil) // has asked deb.example.org three times for two requests of clients
	r.ledger.Sent("deb.example.org", 200, 390)
	r.ledger.Sent("deb.example.org", 404, 10)
	client := netip.MustParseAddr("10.1.2.3")
	other := ledger.File{Host: "security.example.org"}
	r.ledger.Request(client, other)
	r.ledger.Delivered(client, other, ledger.FromStore, 50)
	got := get[api.MirrorLoads](t, r, "/api/v1/mirrors/load?days=1")
	if got.Total != 2 || got.Items[0].Host != "deb.example.org" || got.Items[1].Host != other.Host {
		t.Fatalf("%+v", got)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	want := api.MirrorLoad{
		Host: "deb.example.org", Last: got.Items[0].Last, Requests: 3, Bytes: 400,
		Statuses: []api.StatusLoad{{Class: "2xx", Requests: 1, Bytes: 390}, {Class: "3xx", Requests: 2}, {Class: "4xx", Bytes: 10}},
		Answers:  []api.HostAnswer{{Status: "200", Requests: 1}, {Status: "304", Requests: 2}},
		// One request more than clients made, since the box asked by itself.
		ClientRequests: 2, ClientBytes: 1000, AvoidedRequests: 1, SparedRequests: -1, SparedBytes: 600,
		Days: []api.MirrorDay{{Start: today, Requests: 3, Bytes: 400, SparedRequests: -1, SparedBytes: 600}},
	}
	if !reflect.DeepEqual(got.Items[0], want) {
		t.Errorf("got %+v\nwant %+v", got.Items[0], want)
	}
	if s := got.Sum; s.Host != "" || s.Requests != 3 || s.Bytes != 400 || s.ClientRequests != 3 || s.ClientBytes != 1050 || s.SparedRequests != 0 || s.SparedBytes != 650 || s.AvoidedRequests != 1 || len(s.Days) != 1 || len(s.Answers) != 0 {
		t.Errorf("the sum is %+v", s)
	}
	if cut := get[api.MirrorLoads](t, r, "/api/v1/mirrors/load?offset=1&limit=1"); len(cut.Items) != 1 || cut.Items[0].Host != other.Host || cut.Sum.ClientRequests != 3 || len(cut.Items[0].Answers) != 0 {
		t.Errorf("a part of it: %+v", cut)
	}
}
