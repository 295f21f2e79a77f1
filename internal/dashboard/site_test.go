package dashboard

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/siteledger"
)

// pair is a site of this box and a local one, "you".
type pair struct {
	serves map[string]netip.AddrPort
	names  map[string]string
	gone   bool
}

func newPair() *pair { return &pair{names: make(map[string]string)} }

func (p *pair) Look() {}
func (p *pair) Boxes() []siteledger.Box {
	all := []siteledger.Box{{ID: "me", Self: true, Name: p.names["me"], Report: siteledger.Report{Counts: ledger.Counts{DeliveredStore: 5}}}}
	if !p.gone {
		all = append(all, siteledger.Box{
			ID: "you", Name: p.names["you"], Unproved: true, Away: true,
			Report: siteledger.Report{Counts: ledger.Counts{DeliveredPeer: 7, MirrorTaken: 10}},
		})
	}
	return all
}
func (p *pair) Sum(unproved bool) (s siteledger.Sum) {
	for _, b := range p.Boxes() {
		if unproved || !b.Unproved {
			s.Boxes++
			s.Clients += 2
			if b.Away {
				s.Away++
			}
			s.Counts.DeliveredStore += b.Counts.DeliveredStore
			s.Counts.DeliveredPeer += b.Counts.DeliveredPeer
			s.Counts.MirrorTaken += b.Counts.MirrorTaken
		}
	}
	s.Faulty, s.Worst, s.Fault, s.Status = 1, &siteledger.Box{ID: "me", Name: p.names["me"]}, &api.Fault{What: "disk", Why: "is full"}, "degraded"
	return s
}
func (p *pair) Suites(bool) []siteledger.SuiteOf { return nil }
func (p *pair) Packages(w siteledger.Which) []siteledger.PackageOf {
	return []siteledger.PackageOf{{Package: siteledger.Package{Name: "bash", Counts: ledger.Counts{DeliveredStore: 3}}, Boxes: 2}}
}
func (p *pair) Series(w siteledger.Which, _ ledger.Step, from, _ time.Time) ([]ledger.Point, error) {
	switch {
	case w.Box == "they":
		return nil, siteledger.ErrUnknownBox
	case w.Unproved:
		return []ledger.Point{{Start: from, Counts: ledger.Counts{DeliveredStore: 12}}}, nil
	}
	return []ledger.Point{{Start: from, Counts: ledger.Counts{DeliveredStore: 5}}}, nil
}
func (p *pair) Serves(id string) netip.AddrPort     { return p.serves[id] }
func (p *pair) BoxName(id string) string            { return p.names[id] }
func (p *pair) ClientName(client netip.Addr) string { return p.names[client.String()] }
func (p *pair) NameBox(id, name string) error {
	if strings.ContainsRune(name, '\n') {
		return siteledger.ErrName
	}
	p.names[id] = name
	return nil
}
func (p *pair) NameClient(client netip.Addr, name string) error {
	p.names[client.String()] = name
	return nil
}
func (p *pair) Forget(id string) error {
	if id == "me" {
		return siteledger.ErrConnected
	}
	p.gone = true
	return nil
}

func TestSite(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	got := get[api.Site](t, r, "/api/v1/site")
	if got.Proved.Boxes != 1 || got.Proved.SavedBytes != 5 || got.All.Boxes != 2 || got.All.ClientBytes != 12 || got.All.SavedBytes != 2 {
		t.Errorf("%+v", got)
	}
	if w := got.All.Worst; w == nil || w.Box != "me" || w.What != "disk" {
		t.Errorf("worst %+v", w)
	}
	boxes := get[api.SiteBoxes](t, r, "/api/v1/site/boxes").Boxes
	if len(boxes) != 2 || !boxes[0].Self || boxes[0].Kind != "member" || boxes[1].Kind != "local" || !boxes[1].Unproved || !boxes[1].Away {
		t.Errorf("%+v", boxes)
	}
	for path, want := range map[string]int64{"": 5, "&unproved=true": 12} {
		series := get[api.Series](t, r, "/api/v1/site/series?step=hour"+path)
		if len(series.Points) != 1 || series.Points[0].ClientBytes != want {
			t.Errorf("%s: %+v", path, series)
		}
	}
	if p := get[api.Periods](t, r, "/api/v1/site/periods?unproved=true"); p.Week.ClientBytes != 12 || p.Ever.ClientBytes != 12 {
		t.Errorf("%+v", p)
	}
	if p := get[api.Periods](t, r, "/api/v1/site/periods?box=you"); p.Ever.ClientBytes != 7 {
		t.Errorf("%+v", p)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/site/series?step=hour&box=they", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("the series of a box that nobody knows: %d", w.Code)
	}
	if p := get[api.SitePackages](t, r, "/api/v1/site/packages").Packages; len(p) != 1 || p[0].Name != "bash" || p[0].SavedBytes != 3 {
		t.Errorf("%+v", p)
	}
}

// Names are given by the administrator alone, and stand wherever a box or client does.
func TestGivenNames(t *testing.T) {
	t.Parallel()
	events := new(Events)
	log := logTo(io.Discard, events)
	r := newRig(t, func(o *Options) { o.Events, o.Log = events, log })
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPut, "/api/v1/site/boxes/you/name", `{"name":"library"}`},
		{http.MethodPut, "/api/v1/clients/name", `{"address":"10.1.2.3","name":"front desk"}`},
		{http.MethodDelete, "/api/v1/site/boxes/you", ""},
	} {
		if w := r.do(t, c.method, c.path, "", c.body); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", c.path, w.Code)
		}
		if c.method == http.MethodPut {
			if w := r.do(t, c.method, c.path, token, c.body); w.Code != http.StatusNoContent {
				t.Errorf("%s: %d: %s", c.path, w.Code, w.Body)
			}
		}
	}
	if p := get[api.PeerList](t, r, "/api/v1/peers").Peers; p[0].GivenName != "library" {
		t.Errorf("%+v", p)
	}
	if g := get[api.Graph](t, r, "/api/v1/swarm/graph"); g.Nodes[1].GivenName != "library" {
		t.Errorf("%+v", g.Nodes)
	}
	if c := get[api.Page[api.Account]](t, r, "/api/v1/clients?q=front"); c.Total != 1 || c.Items[0].GivenName != "front desk" {
		t.Errorf("%+v", c)
	}
	log.Warn("request failed", "client", "10.1.2.3", "url", "http://deb.example.org/debian/none")
	if v := get[api.EventList](t, r, "/api/v1/events?client=10.1.2.3").Events; len(v) != 1 || v[0].Clients[0].GivenName != "front desk" {
		t.Errorf("%+v", v)
	}
	if p := get[api.Package](t, r, "/api/v1/packages/bash"); p.Clients[0].GivenName != "front desk" {
		t.Errorf("%+v", p.Clients)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{http.MethodPut, "/api/v1/site/boxes/you/name", `{"name":"a\nb"}`, http.StatusBadRequest},
		{http.MethodPut, "/api/v1/clients/name", `{"address":"library","name":"x"}`, http.StatusBadRequest},
		{http.MethodDelete, "/api/v1/site/boxes/me", "", http.StatusConflict},
		{http.MethodDelete, "/api/v1/site/boxes/you", "", http.StatusNoContent},
	} {
		if w := r.do(t, c.method, c.path, token, c.body); w.Code != c.code {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, w.Code, c.code, w.Body)
		}
	}
}

// What a suite of this box can be, other boxes are told: one that is not signed must not
// look fresh to them.
func TestSuiteStatesOfTheSite(t *testing.T) {
	t.Parallel()
	if told, own := slices.Sorted(slices.Values(siteledger.SuiteStates)), slices.Sorted(slices.Values(states)); !slices.Equal(told, own) {
		t.Errorf("told %v, own %v", told, own)
	}
}

func TestSiteMetrics(t *testing.T) {
	t.Parallel()
	text := newRig(t, nil).do(t, http.MethodGet, "/metrics", "", "").Body.String()
	for _, want := range []string{
		`millpond_site_boxes{of="proved",state="connected"} 1`, `millpond_site_boxes{of="all",state="away"} 1`,
		`millpond_site_client_bytes_total{from="peers",of="all"} 7`, `millpond_site_client_bytes_total{from="peers",of="proved"} 0`,
		`millpond_site_saved_bytes{of="proved"} 5`, `millpond_site_saved_bytes{of="all"} 2`, `millpond_site_mirror_bytes_total{of="all"} 10`,
		`millpond_site_clients{of="all"} 4`, `millpond_site_faulty_boxes{of="proved"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
}
