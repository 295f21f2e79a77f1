package dashboard

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/clients"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// maxTop is how many packages an answer about a client has.
const maxTop = 20

// Notes has what each client did beside its bytes; *clients.Notes.
type Notes interface {
	Of(client netip.Addr) (clients.Client, error)
	// LastUpdate is when a client last updated, zero if that is not known; Began is since
	// when it would be.
	LastUpdate(client netip.Addr) time.Time
	Began() time.Time
}

// clientsQuery asks for a part of the list of clients.
type clientsQuery struct {
	Q    string `query:"q" doc:"part of the address, or of the hostname"`
	Sort string `query:"sort" enum:"bytes,saved,requests,last,last_update,name" default:"bytes"`
	Days int    `query:"not_updated_days" minimum:"1" maximum:"36500" doc:"only clients that were not seen updating for so many days"`
	Window
}

func (d *Dashboard) listClients(_ context.Context, q *clientsQuery) (api.Page[api.ClientAccount], error) {
	if q.Sort == "last_update" {
		return d.byUpdate(q)
	}
	rest := &accountQuery{Q: q.Q, Sort: q.Sort, Window: q.Window}
	return listed(d, rest, "bytes", d.stale(q.Days), d.clientAccount)
}

// byUpdate lists clients in the order of their last updates, the latest first.
func (d *Dashboard) byUpdate(q *clientsQuery) (api.Page[api.ClientAccount], error) {
	when := make(map[string]time.Time) // so that each is looked up once
	noted := func(yield func(ledger.Account, error) bool) {
		for a, err := range d.stale(q.Days) {
			when[a.Name] = d.lastUpdate(a.Name)
			if !yield(a, err) {
				return
			}
		}
	}
	order := func(a, b *ledger.Account) int {
		return cmp.Or(when[b.Name].Compare(when[a.Name]), b.Last.Compare(a.Last))
	}
	return sorted(d, q.Q, q.Window, order, noted, d.clientAccount)
}

// stale yields the clients that were not seen updating for so many days, all for 0. Of
// one that never was, the days begin when it was first seen, or when updates began to be
// noted.
func (d *Dashboard) stale(days int) iter.Seq2[ledger.Account, error] {
	all := d.ledger.Clients("")
	if days == 0 {
		return all
	}
	end := time.Now().AddDate(0, 0, -days)
	return func(yield func(ledger.Account, error) bool) {
		for a, err := range all {
			if err == nil {
				updated := d.lastUpdate(a.Name)
				if updated.IsZero() {
					updated = later(a.First, d.notes.Began())
				}
				if a.Name == ledger.Others || !updated.Before(end) {
					continue
				}
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastUpdate is when the client of an account last updated.
func (d *Dashboard) lastUpdate(name string) time.Time {
	client, err := netip.ParseAddr(name)
	if err != nil {
		return time.Time{} // that of all others
	}
	return d.notes.LastUpdate(client)
}

func (d *Dashboard) clientAccount(a *ledger.Account) api.ClientAccount {
	row := api.ClientAccount{Account: accountOf(*a), LastUpdate: timeIf(d.lastUpdate(a.Name))}
	row.Hostname, row.GivenName = d.names.Of(a.Name), d.clientName(a.Name)
	return row
}

// onClient names a client.
type onClient struct {
	Address string `path:"address" maxLength:"64" doc:"IP address"`
}

func (d *Dashboard) getClient(ctx context.Context, in *onClient) (api.ClientDetail, error) {
	client, err := netip.ParseAddr(in.Address)
	if err != nil {
		return api.ClientDetail{}, wrong("address is that of one client, such as 10.1.2.3 or fd00::1")
	}
	client = client.Unmap().WithZone("")
	account, err := d.ledger.Client(client)
	counted := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return api.ClientDetail{}, err
	}
	account.Name = client.String()
	notes, err := d.notes.Of(client)
	if err != nil {
		return api.ClientDetail{}, err
	}
	if !counted && notes.Since.IsZero() {
		return api.ClientDetail{}, problem(http.StatusNotFound, "The box has nothing about a client with this address.")
	}
	answer := api.ClientDetail{
		ClientAccount: d.clientAccount(&account), Since: timeIf(notes.Since),
		Failures: failuresOf(notes.Failures), Packages: topPackages(notes.Packages), PackageTotal: len(notes.Packages),
	}
	known := d.inForce(notes.Suites)
	answer.Suites = d.clientSuites(notes.Suites, known)
	answer.Pending, answer.PendingTotal, err = d.pendingUpdates(ctx, notes.Packages, known)
	return answer, err
}

func failuresOf(all []clients.Failure) []api.ClientFailure {
	answer := []api.ClientFailure{}
	for _, f := range all {
		answer = append(answer, api.ClientFailure{Status: f.Status, Cause: f.Cause, URL: f.URL, First: f.First, Last: f.Last, Times: f.Times})
	}
	return answer
}

// topPackages are those of which most bytes were sent.
func topPackages(all []clients.Package) []api.ClientPackage {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b clients.Package) int { return cmp.Compare(b.Bytes, a.Bytes) })
	answer := []api.ClientPackage{}
	for _, p := range all[:min(len(all), maxTop)] {
		answer = append(answer, api.ClientPackage{
			Name: p.Name, Architecture: p.Architecture, Version: p.Version, Last: p.Last, Requests: p.Requests, Bytes: p.Bytes,
		})
	}
	return answer
}

// laneOf names a suite as clients have it through a ring, or without one.
type laneOf struct {
	ring  string
	suite catalog.Location
}

// present is the generation that a client would get of a suite now.
type present struct {
	id   digest.Digest
	date time.Time
}

// inForce returns what a client would get now of each suite that it uses, as far as that
// is known.
func (d *Dashboard) inForce(suites []clients.Suite) map[laneOf]present {
	all := make(map[laneOf]present)
	for _, s := range d.catalog.Suites() {
		all[laneOf{"", s.Location}] = present{s.Current.ID, s.Current.Date}
	}
	known := make(map[laneOf]present)
	asked := make(map[string]bool)
	for _, s := range suites {
		suite, err := catalog.ParseURL(s.URL)
		if err != nil {
			continue // of another version of the box
		}
		if s.Ring != "" && !asked[s.Ring] {
			asked[s.Ring] = true
			lanes, _ := d.rings.Lanes(s.Ring) // a ring that is gone has none
			for _, l := range lanes {
				all[laneOf{s.Ring, l.Suite}] = present{l.Present.ID, l.Present.Date}
			}
		}
		if p, ok := all[laneOf{s.Ring, suite}]; ok {
			known[laneOf{s.Ring, suite}] = p
		}
	}
	return known
}

func (d *Dashboard) clientSuites(all []clients.Suite, known map[laneOf]present) []api.ClientSuite {
	answer := []api.ClientSuite{}
	for _, s := range all {
		suite, err := catalog.ParseURL(s.URL)
		if err != nil {
			continue
		}
		row := api.ClientSuite{URL: s.URL, Name: suiteName(suite), Ring: s.Ring, Updated: s.Updated}
		has, err := digest.Parse(s.Generation)
		// A client may have a newer Release than the box, of which nothing is known.
		if err == nil && !has.IsZero() && has != catalog.OtherGeneration {
			row.Generation = has.String()
			row.Date = timeIf(d.dateOf(suite, has))
		}
		if now, ok := known[laneOf{s.Ring, suite}]; ok {
			row.InForce = timeIf(now.date)
			row.Behind = row.Generation != "" && has != now.id
		}
		answer = append(answer, row)
	}
	return answer
}

// dateOf is the date of a generation, zero if it is not known any more.
func (d *Dashboard) dateOf(suite catalog.Location, id digest.Digest) time.Time {
	for _, m := range d.catalog.Moments(suite) {
		if m.ID == id {
			return m.Date
		}
	}
	return time.Time{}
}
