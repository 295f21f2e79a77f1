package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/siteledger"
)

// Site has the figures of all boxes together; *siteledger.Site.
type Site interface {
	Look()
	Sum(unproved bool) siteledger.Sum
	Boxes() []siteledger.Box
	Suites(unproved bool) []siteledger.SuiteOf
	Packages(w siteledger.Which) []siteledger.PackageOf
	Series(w siteledger.Which, step ledger.Step, from, to time.Time) ([]ledger.Point, error)
	BoxName(id string) string
	Serves(id string) netip.AddrPort
	ClientName(client netip.Addr) string
	NameBox(id, name string) error
	NameClient(client netip.Addr, name string) error
	Forget(id string) error
}

func (d *Dashboard) serveSite(s *service) {
	s = s.tagged("site")
	read(s, "getSite", "site", "Figures of all boxes together", d.getSite)
	read(s, "listSiteBoxes", "site/boxes", "Each box with its own figures", d.listSiteBoxes)
	read(s, "getSiteSeries", "site/series", "Figures of all boxes over time", d.getSiteSeries)
	read(s, "getSitePeriods", "site/periods", "Figures of all boxes of today, 7 and 30 days, and ever", d.getSitePeriods)
	read(s, "listSiteSuites", "site/suites", "Suites that clients of any box use", d.listSiteSuites)
	read(s, "listSitePackages", "site/packages", "Packages that most was saved with, over all boxes", d.listSitePackages)
}

func (d *Dashboard) serveSiteActions(s *service) {
	s = s.tagged("admin")
	name := func(id, path, summary string) huma.Operation {
		return huma.Operation{
			Method: http.MethodPut, OperationID: id, Path: path, Summary: summary,
			MaxBodyBytes: maxNameBody, Middlewares: huma.Middlewares{bodyIsJSON},
		}
	}
	act(s, name("nameBox", "site/boxes/{id}/name", "Give a box a name, which the members of the swarm show as well"), d.nameBox)
	client := name("nameClient", "clients/name", "Give a client a name, which the members of the swarm show as well")
	client.Metadata = map[string]any{bodyIsPrivate: true} // MILLPOND_PRIVACY may forbid its address in log and events
	act(s, client, d.nameClient)
	act(s, huma.Operation{
		Method: http.MethodDelete, OperationID: "forgetBox", Path: "site/boxes/{id}",
		Summary: "Forget a box that is away, here and at the members of the swarm: its figures count no longer",
	}, d.forgetBox)
}

// WhichBoxes says of which boxes figures are asked for.
type WhichBoxes struct {
	Box      string `query:"box" doc:"peer ID of one box; all by default"`
	Unproved bool   `query:"unproved" doc:"of all boxes: with local ones, whose figures nothing proves"`
}

func (w WhichBoxes) which() siteledger.Which {
	return siteledger.Which{Box: w.Box, Unproved: w.Unproved}
}

func (d *Dashboard) getSite(context.Context, *none) (api.Site, error) {
	d.site.Look()
	return api.Site{Proved: siteSumOf(d.site.Sum(false)), All: siteSumOf(d.site.Sum(true))}, nil
}

func siteSumOf(s siteledger.Sum) api.SiteSum {
	sum := api.SiteSum{
		Boxes: s.Boxes, Away: s.Away, Since: s.Began, Counts: countsOf(s.Counts), Rates: ratesOf(s.Rates),
		Blobs: s.Holdings.Blobs, BlobBytes: s.Holdings.BlobBytes, QuotaBytes: s.Holdings.QuotaBytes, Downloads: s.Holdings.Downloads,
		Clients: s.Clients, ClientsExact: s.ClientsExact, Packages: s.Packages, PackagesExact: s.PackagesExact,
		Status: s.Status, FaultyBoxes: s.Faulty,
	}
	if s.Worst != nil {
		sum.Worst = &api.SiteFault{Box: s.Worst.ID, GivenName: s.Worst.Name, Fault: *s.Fault}
	}
	return sum
}

func ratesOf(c ledger.Counts) api.Rates {
	return api.Rates{
		Client: c.Delivered(), FromStore: c.DeliveredStore, FromPeers: c.DeliveredPeer, FromMirror: c.DeliveredMirror,
		Mirror: c.MirrorTaken, PeerIn: c.PeerTaken, PeerOut: c.PeerGiven,
	}
}

func (d *Dashboard) listSiteBoxes(context.Context, *none) (api.SiteBoxes, error) {
	d.site.Look()
	answer := api.SiteBoxes{Boxes: []api.SiteBox{}}
	for _, b := range d.site.Boxes() {
		answer.Boxes = append(answer.Boxes, siteBoxOf(b))
	}
	return answer, nil
}

func siteBoxOf(b siteledger.Box) api.SiteBox {
	box := api.SiteBox{
		ID: b.ID, GivenName: b.Name, Self: b.Self, Kind: "member", Unproved: b.Unproved, Away: b.Away, Seen: b.Seen,
		Version: b.Version, Since: b.Began, Counts: countsOf(b.Counts), Rates: ratesOf(b.Rates),
		Blobs: b.Holdings.Blobs, BlobBytes: b.Holdings.BlobBytes, QuotaBytes: b.Holdings.QuotaBytes, Downloads: b.Holdings.Downloads,
		Clients: b.Clients, Packages: b.Packages, Suites: b.Report.Suites, Status: b.Status(), Faults: append([]api.Fault{}, b.Faults...),
	}
	if b.Unproved {
		box.Kind = "local"
	}
	return box
}

// siteSeriesQuery asks for figures over time.
type siteSeriesQuery struct {
	SeriesQuery
	WhichBoxes
}

func (d *Dashboard) getSiteSeries(_ context.Context, q *siteSeriesQuery) (api.Series, error) {
	d.site.Look()
	_, began := d.sumOf(q.WhichBoxes)
	return history{d.siteSeries(q.WhichBoxes), began, time.Now()}.series(&q.SeriesQuery)
}

// sumOf is what some boxes have counted, and since when; zero for a box that nobody knows.
func (d *Dashboard) sumOf(w WhichBoxes) (ever ledger.Counts, began time.Time) {
	if w.Box == "" {
		sum := d.site.Sum(w.Unproved)
		return sum.Counts, sum.Began
	}
	for _, b := range d.site.Boxes() {
		if b.ID == w.Box {
			return b.Counts, b.Began
		}
	}
	return ledger.Counts{}, time.Time{}
}

// siteSeries is the series of some boxes.
func (d *Dashboard) siteSeries(w WhichBoxes) series {
	return func(step ledger.Step, from, to time.Time) ([]ledger.Point, error) {
		points, err := d.site.Series(w.which(), step, from, to)
		return points, siteProblem(err)
	}
}

// sitePeriodsQuery is as periodsQuery.
type sitePeriodsQuery struct {
	Day time.Time `query:"day" doc:"when the reader's day began, at most 25 h ago"`
	WhichBoxes
}

func (d *Dashboard) getSitePeriods(_ context.Context, q *sitePeriodsQuery) (api.Periods, error) {
	d.site.Look()
	ever, _ := d.sumOf(q.WhichBoxes)
	return periodsOf(q.Day, ever, d.siteSeries(q.WhichBoxes))
}

func (d *Dashboard) listSiteSuites(_ context.Context, q *whichAll) (api.SiteSuites, error) {
	answer := api.SiteSuites{Suites: []api.SiteSuite{}}
	for _, s := range d.site.Suites(q.Unproved) {
		answer.Suites = append(answer.Suites, api.SiteSuite{
			URL: s.URL, State: s.State, Worst: s.Worst, Checked: s.Checked, Boxes: s.Boxes, Unproved: s.Unproved,
		})
	}
	return answer, nil
}

// whichAll is WhichBoxes without the choice of one.
type whichAll struct {
	Unproved bool `query:"unproved" doc:"with local boxes, of which nothing proves what they tell"`
}

func (d *Dashboard) listSitePackages(_ context.Context, q *WhichBoxes) (api.SitePackages, error) {
	answer := api.SitePackages{Packages: []api.SitePackage{}}
	for _, p := range d.site.Packages(q.which()) {
		answer.Packages = append(answer.Packages, api.SitePackage{Name: p.Name, Counts: countsOf(p.Counts), Boxes: p.Boxes})
	}
	return answer, nil
}

// boxNameRequest names a box.
type boxNameRequest struct {
	ID   string `path:"id" doc:"its peer ID"`
	Body api.GivenName
}

func (d *Dashboard) nameBox(_ context.Context, in *boxNameRequest) error {
	return siteProblem(d.site.NameBox(in.ID, in.Body.Name))
}

// clientNameRequest names a client. Its address is in the body: paths are in the log.
type clientNameRequest struct{ Body api.ClientName }

func (d *Dashboard) nameClient(_ context.Context, in *clientNameRequest) error {
	client, err := netip.ParseAddr(in.Body.Address)
	if err != nil {
		return wrong("address is that of one client, such as 10.1.2.3 or fd00::1")
	}
	return siteProblem(d.site.NameClient(client, in.Body.Name))
}

func (d *Dashboard) forgetBox(_ context.Context, in *onPeer) error {
	return siteProblem(d.site.Forget(in.ID))
}

// siteProblem words the errors of the site.
func siteProblem(err error) error {
	switch {
	case errors.Is(err, siteledger.ErrUnknownBox):
		return problem(http.StatusNotFound, "No box of this ID has told its figures.")
	case errors.Is(err, siteledger.ErrConnected):
		return problem(http.StatusConflict, "The box is connected, and would tell its figures again at once. Stop it, or ban it, and forget it once it is shown as away.")
	case errors.Is(err, siteledger.ErrFull):
		return problem(http.StatusConflict, "The site has as many names as it can keep (2048). Remove one with an empty name.")
	case errors.Is(err, siteledger.ErrName):
		return wrong("%v", err)
	case errors.Is(err, siteledger.ErrPrivacy):
		return problem(http.StatusForbidden, "MILLPOND_PRIVACY keeps this box from keeping names of clients.")
	}
	return err
}

// clientName is the name that an administrator gave to the client of an account.
func (d *Dashboard) clientName(account string) string {
	client, err := netip.ParseAddr(account)
	if err != nil {
		return ""
	}
	return d.site.ClientName(client)
}

// InUse returns the suites that clients of this box use, for what it tells others.
func (d *Dashboard) InUse() (all []siteledger.Suite) {
	now := time.Now()
	for _, s := range d.catalog.Suites() {
		checked, stale := d.fetch.Checked(s.Location)
		row := suiteOf(s, checked, stale, now)
		all = append(all, siteledger.Suite{URL: row.URL, State: row.State, Checked: checked.UTC()})
	}
	return all
}
