package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"millpond/internal/ledger"
)

// Page is a part of a list.
type Page[T any] struct {
	Total  int `json:"total"` // of what matches
	Offset int `json:"offset"`
	Items  []T `json:"items"` // never null
}

// maxPage bounds one answer.
const maxPage = 200

// window is which part of a list is asked for.
type window struct{ offset, limit int }

// windowOf reads offset and limit of a query; limit is 50 unless told.
func windowOf(q url.Values) (window, error) {
	w := window{limit: 50}
	for name, n := range map[string]*int{"offset": &w.offset, "limit": &w.limit} {
		if s := q.Get(name); s != "" {
			var err error
			if *n, err = strconv.Atoi(s); err != nil || *n < 0 {
				return w, fmt.Errorf("%s=%q is no number", name, s)
			}
		}
	}
	if w.limit < 1 || w.limit > maxPage {
		return w, fmt.Errorf("limit is 1 to %d", maxPage)
	}
	return w, nil
}

// page cuts the window out of all.
func page[T any](all []T, w window) Page[T] {
	from := min(w.offset, len(all))
	return Page[T]{Total: len(all), Offset: from, Items: append([]T{}, all[from:min(from+w.limit, len(all))]...)}
}

// Account is what was counted for one client, archive host or package.
type Account struct {
	Name     string    `json:"name"`     // address, host, package; "others" for all that found no place of their own
	Hostname string    `json:"hostname"` // of a client; "" if it is not known (yet)
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Counts
}

func accountOf(a ledger.Account) Account {
	return Account{Name: a.Name, First: a.First, Last: a.Last, Counts: countsOf(a.Counts)}
}

// orders are the ways to sort accounts.
var orders = map[string]func(a, b *ledger.Account) int{
	"name":     func(a, b *ledger.Account) int { return cmp.Compare(a.Name, b.Name) },
	"saved":    func(a, b *ledger.Account) int { return cmp.Compare(b.Saved(), a.Saved()) },
	"bytes":    func(a, b *ledger.Account) int { return cmp.Compare(b.Delivered(), a.Delivered()) },
	"requests": func(a, b *ledger.Account) int { return cmp.Compare(b.Requests, a.Requests) },
	"last":     func(a, b *ledger.Account) int { return b.Last.Compare(a.Last) },
}

func (d *Dashboard) clients(w http.ResponseWriter, r *http.Request) {
	d.accounts(w, r, "bytes", d.Ledger.Clients)
}

func (d *Dashboard) hosts(w http.ResponseWriter, r *http.Request) {
	d.accounts(w, r, "bytes", d.Ledger.Hosts)
}

// accounts answers with the accounts whose names, or hostnames as far as they
// are known, contain q. The ledger bounds how many there are (20,000), so that
// all can be looked at and sorted.
func (d *Dashboard) accounts(w http.ResponseWriter, r *http.Request, usual string, all func(after string) iter.Seq2[ledger.Account, error]) {
	query := r.URL.Query()
	win, err := windowOf(query)
	order := orders[cmp.Or(query.Get("sort"), usual)]
	if err == nil && order == nil {
		err = errors.New("sort is saved, bytes, requests, last or name")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	part := strings.ToLower(query.Get("q"))
	var found []*ledger.Account
	for a, err := range all("") {
		if err != nil {
			d.fail(w, err)
			return
		}
		if strings.Contains(strings.ToLower(a.Name), part) || strings.Contains(d.names.cached(a.Name), part) {
			found = append(found, &a)
		}
	}
	slices.SortStableFunc(found, order)
	cut := page(found, win)
	answer := Page[Account]{Total: cut.Total, Offset: cut.Offset, Items: []Account{}}
	for _, a := range cut.Items {
		item := accountOf(*a)
		item.Hostname = d.names.of(a.Name)
		answer.Items = append(answer.Items, item)
	}
	d.json(w, http.StatusOK, answer)
}
