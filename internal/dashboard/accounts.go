package dashboard

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
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
	Q    string `query:"q" doc:"part of the name, or of a client's hostname or given name"`
	Sort string `query:"sort" enum:"saved,bytes,requests,mirror_requests,last,name" doc:"saved for packages, bytes for others by default"`
	Window
}

// orders are the ways to sort accounts.
var orders = map[string]func(a, b *ledger.Account) int{
	"name":            func(a, b *ledger.Account) int { return cmp.Compare(a.Name, b.Name) },
	"saved":           func(a, b *ledger.Account) int { return cmp.Compare(b.Saved(), a.Saved()) },
	"bytes":           func(a, b *ledger.Account) int { return cmp.Compare(b.Delivered(), a.Delivered()) },
	"requests":        func(a, b *ledger.Account) int { return cmp.Compare(b.Requests, a.Requests) },
	"mirror_requests": func(a, b *ledger.Account) int { return cmp.Compare(b.MirrorRequests, a.MirrorRequests) },
	"last":            func(a, b *ledger.Account) int { return b.Last.Compare(a.Last) },
}

func (d *Dashboard) listHosts(_ context.Context, q *accountQuery) (api.Page[api.Host], error) {
	return listed(d, q, "bytes", d.ledger.Hosts(""), func(a *ledger.Account) api.Host {
		return api.Host{Account: accountOf(*a), Answers: answersOf(a.Answers)}
	})
}

// answersOf names the statuses.
func answersOf(all []ledger.Answer) []api.HostAnswer {
	answers := []api.HostAnswer{}
	for _, a := range all {
		answers = append(answers, api.HostAnswer{Status: statusName(a.Status), Requests: a.Requests})
	}
	return answers
}

func statusName(status int) string {
	switch status {
	case ledger.NoAnswer:
		return "none"
	case ledger.OtherStatus:
		return "other"
	}
	return strconv.Itoa(status)
}

// accounts lists accounts of packages.
func (d *Dashboard) accounts(q *accountQuery, order string, all iter.Seq2[ledger.Account, error]) (api.Page[api.Account], error) {
	return listed(d, q, order, all, func(a *ledger.Account) api.Account {
		item := accountOf(*a)
		item.Hostname, item.GivenName = d.names.Of(a.Name), d.clientName(a.Name)
		return item
	})
}

// listed returns the accounts whose names, or hostnames as far as they are
// known, contain q.
func listed[T any](d *Dashboard, q *accountQuery, order string, all iter.Seq2[ledger.Account, error], item func(*ledger.Account) T) (api.Page[T], error) {
	return sorted(d, q.Q, q.Window, orders[cmp.Or(q.Sort, order)], all, item)
}

// sorted is listed in any order. The ledger bounds how many accounts there are (20,000), so
// that all can be looked at and sorted.
func sorted[T any](d *Dashboard, q string, w Window, order func(a, b *ledger.Account) int, all iter.Seq2[ledger.Account, error], item func(*ledger.Account) T) (api.Page[T], error) {
	part := strings.ToLower(q)
	var found []*ledger.Account
	for a, err := range all {
		if err != nil {
			return api.Page[T]{}, err
		}
		if strings.Contains(strings.ToLower(a.Name), part) || strings.Contains(d.names.Known(a.Name), part) ||
			part != "" && strings.Contains(strings.ToLower(d.clientName(a.Name)), part) {
			found = append(found, &a)
		}
	}
	slices.SortFunc(found, func(a, b *ledger.Account) int { return cmp.Or(order(a, b), strings.Compare(a.Name, b.Name)) })
	cut := page(found, w)
	answer := api.Page[T]{Total: cut.Total, Offset: cut.Offset, Items: []T{}}
	for _, a := range cut.Items {
		answer.Items = append(answer.Items, item(a))
	}
	return answer, nil
}
