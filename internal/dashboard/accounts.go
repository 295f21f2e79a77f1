package dashboard

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// Limited is a query's bound of an answer; 200 rows are the most.
type Limited struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"rows at most"`
}

// Window is which part of a list is asked for.
type Window struct {
	Offset int `query:"offset" minimum:"0" doc:"rows to leave out"`
	Limited
}

// page cuts the window out of all.
func page[T any](all []T, w Window) api.Page[T] {
	from := min(w.Offset, len(all))
	to := min(from+w.Limit, len(all))
	return api.Page[T]{Total: len(all), Offset: from, Items: append([]T{}, all[from:to]...)}
}

func accountOf(a ledger.Account) api.Account {
	return api.Account{Name: a.Name, First: a.First, Last: a.Last, Counts: countsOf(a.Counts)}
}

// accountQuery asks for a part of a list of accounts.
type accountQuery struct {
	Q    string `query:"q" doc:"part of the name, or of a client's hostname"`
	Sort string `query:"sort" enum:"saved,bytes,requests,last,name" doc:"saved for packages, bytes for others by default"`
	Window
}

// orders are the ways to sort accounts.
var orders = map[string]func(a, b *ledger.Account) int{
	"name":     func(a, b *ledger.Account) int { return cmp.Compare(a.Name, b.Name) },
	"saved":    func(a, b *ledger.Account) int { return cmp.Compare(b.Saved(), a.Saved()) },
	"bytes":    func(a, b *ledger.Account) int { return cmp.Compare(b.Delivered(), a.Delivered()) },
	"requests": func(a, b *ledger.Account) int { return cmp.Compare(b.Requests, a.Requests) },
	"last":     func(a, b *ledger.Account) int { return b.Last.Compare(a.Last) },
}

func (d *Dashboard) listClients(_ context.Context, q *accountQuery) (api.Page[api.Account], error) {
	return d.accounts(q, "bytes", d.ledger.Clients(""))
}

func (d *Dashboard) listHosts(_ context.Context, q *accountQuery) (api.Page[api.Account], error) {
	return d.accounts(q, "bytes", d.ledger.Hosts(""))
}

// accounts returns the accounts whose names, or hostnames as far as they are
// known, contain q. The ledger bounds how many there are (20,000), so that all
// can be looked at and sorted.
func (d *Dashboard) accounts(q *accountQuery, order string, all iter.Seq2[ledger.Account, error]) (api.Page[api.Account], error) {
	part := strings.ToLower(q.Q)
	var found []*ledger.Account
	for a, err := range all {
		if err != nil {
			return api.Page[api.Account]{}, err
		}
		if strings.Contains(strings.ToLower(a.Name), part) || strings.Contains(d.names.Known(a.Name), part) {
			found = append(found, &a)
		}
	}
	slices.SortStableFunc(found, orders[cmp.Or(q.Sort, order)])
	cut := page(found, q.Window)
	answer := api.Page[api.Account]{Total: cut.Total, Offset: cut.Offset, Items: []api.Account{}}
	for _, a := range cut.Items {
		item := accountOf(*a)
		item.Hostname = d.names.Of(a.Name)
		answer.Items = append(answer.Items, item)
	}
	return answer, nil
}
