package ledger

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"
)

// All reading flushes first, so that the table holds what is pending too.

// read returns the row of key, or an error wrapping fs.ErrNotExist.
func (l *Ledger) read(key []byte) (row, error) {
	value, err := l.table.Get(key)
	if err != nil {
		return row{}, err
	}
	r, err := decode(value)
	if err != nil {
		return row{}, rowError(key, err)
	}
	return r, nil
}

// scan calls fn for the rows that kv's Scan finds, without their recent clients.
func (l *Ledger) scan(prefix, from []byte, fn func(key []byte, r row) bool) error {
	var fault error
	err := l.table.Scan(prefix, from, func(key, value []byte) bool {
		r, _, err := decodeFigures(value)
		if err != nil {
			fault = rowError(key, err)
			return false
		}
		return fn(key, r)
	})
	return errors.Join(err, fault)
}

// Point is one bucket of a Series.
type Point struct {
	Start time.Time // UTC
	Counts
}

// Series returns the buckets with start in [from, to), oldest first. Those in
// which nothing was counted are left out. At most some 1,500 minutes or 800
// hours are kept, and every day.
func (l *Ledger) Series(step Step, from, to time.Time) ([]Point, error) {
	if int(step) >= len(steps) {
		return nil, fmt.Errorf("reading ledger: no step %d", step)
	}
	if err := l.Flush(); err != nil {
		return nil, err
	}
	var points []Point
	// Keys are whole seconds: the bucket before from within its second is out.
	first := unix(from.Add(time.Second - 1))
	err := l.scan([]byte{steps[step].kind}, step.key(first), func(key []byte, r row) bool {
		start := keyTime(key)
		if !start.Before(to) {
			return false
		}
		points = append(points, Point{Start: start, Counts: r.Counts})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading ledger: %w", err)
	}
	return points, nil
}

// Account is what was counted for one client, host, peer or package.
type Account struct {
	Name        string    // client address, host name, peer ID, package name or Others
	First, Last time.Time // when something was counted for it
	Counts
	Answers []Answer // of a host, in the order of the statuses
}

// Clients yields the accounts of clients in byte order of their names, from
// the one after the name after ("" from the start). They hold what was
// requested, delivered and tunnelled. After an error nothing follows.
func (l *Ledger) Clients(after string) iter.Seq2[Account, error] {
	return l.accounts(&l.clients, after)
}

// Client returns the account of one client. The error wraps fs.ErrNotExist if nothing was
// counted for it.
func (l *Ledger) Client(client netip.Addr) (Account, error) {
	if err := l.Flush(); err != nil {
		return Account{}, err
	}
	name := clientName(account(client))
	r, err := l.read(l.clients.key(name))
	if err != nil {
		return Account{}, fmt.Errorf("reading ledger: client %s: %w", name, err)
	}
	return r.account(name), nil
}

// Hosts is like Clients, for upstream hosts. They hold what was requested,
// delivered and taken from mirrors, and the requests to mirrors with their answers.
func (l *Ledger) Hosts(after string) iter.Seq2[Account, error] {
	return l.accounts(&l.hosts, after)
}

// Packages is like Clients, for packages. They hold what was requested,
// delivered and taken from mirrors, and the requests to mirrors; NoPackage what
// was so for none.
func (l *Ledger) Packages(after string) iter.Seq2[Account, error] {
	return l.accounts(&l.packages, after)
}

// Package returns a package's account and the clients that requested it last,
// 16 at most, the latest first. The error wraps fs.ErrNotExist if nothing was
// counted for it.
func (l *Ledger) Package(name string) (Account, []RecentClient, error) {
	if err := l.Flush(); err != nil {
		return Account{}, nil, err
	}
	r, err := l.read(l.packages.key(name))
	if err != nil {
		return Account{}, nil, fmt.Errorf("reading ledger: package %.100q: %w", name, err)
	}
	return r.account(name), r.recent.latest(), nil
}

func (r row) account(name string) Account {
	return Account{
		Name: name, First: time.Unix(r.first, 0).UTC(), Last: time.Unix(r.last, 0).UTC(), Counts: r.Counts,
		Answers: r.answers.sorted(),
	}
}

// accountPage is how many accounts are read at a time: no transaction stays
// open while a slow reader of the iterator does its work.
const accountPage = 256

func (l *Ledger) accounts(b *book, after string) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		if err := l.Flush(); err != nil {
			yield(Account{}, err)
			return
		}
		for {
			page, err := l.page(b, after)
			for _, a := range page {
				if !yield(a, nil) {
					return
				}
				after = a.Name
			}
			if err != nil {
				yield(Account{}, fmt.Errorf("reading ledger: %w", err))
			}
			if err != nil || len(page) < accountPage {
				return
			}
		}
	}
}

func (l *Ledger) page(b *book, after string) ([]Account, error) {
	var page []Account
	from := append(b.key(after), 0) // the least key after it
	if after == "" {
		from = nil
	}
	err := l.scan([]byte{b.kind}, from, func(key []byte, r row) bool {
		page = append(page, r.account(string(key[1:])))
		return len(page) < accountPage
	})
	return page, err
}
