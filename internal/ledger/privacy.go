package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"
)

// Privacy is what a ledger does not keep about clients. What it keeps of their bytes
// and requests in all, by host and by package, does not depend on it.
type Privacy struct {
	NoClients  bool // no accounts of clients: they are all Others; nor what NoPackages says
	NoPackages bool // no clients with packages
	// Keep is how long an account of a client is kept, and a client with a
	// package, counted from the first request. A client that still comes begins
	// anew. 0 is for good.
	Keep time.Duration
}

const (
	// expireEvery is how late what is older than Privacy.Keep may go.
	expireEvery = time.Hour
	// forgetAtOnce is how many rows one transaction changes: full ones take half
	// of the 1.2 MB that there is room for.
	forgetAtOnce = 500
)

// firstAt is the time that a recent client has from its request at sec.
func (p Privacy) firstAt(sec int64) int64 {
	if p.Keep == 0 {
		return 0
	}
	return sec
}

// Restrict has the ledger keep no more than p allows, and removes what it has beyond
// that; removed reports whether there was any. It is called before anything is
// counted.
func (l *Ledger) Restrict(p Privacy) (removed bool, err error) {
	l.saving.Lock()
	defer l.saving.Unlock()
	if p == (Privacy{}) {
		return false, nil
	}
	p.NoPackages = p.NoPackages || p.NoClients
	l.privacy = p
	old := l.older(time.Now())
	removed, err = l.forget(
		func(r row) bool { return p.NoClients || old(r.first) },
		func(a recentClient) bool { return p.NoPackages || old(a.first) })
	if err != nil {
		return removed, fmt.Errorf("removing what the ledger has about clients: %w", err)
	}
	return removed, nil
}

// Erase moves the account of a client to Others and forgets which packages it
// requested; known reports whether there was anything. A client that comes again,
// or is in the middle of a download, begins anew.
func (l *Ledger) Erase(client netip.Addr) (known bool, err error) {
	l.saving.Lock()
	defer l.saving.Unlock()
	client = account(client)
	if err := l.flush(); err != nil {
		return false, fmt.Errorf("erasing a client: %w", err)
	}
	erased := func(a recentClient) bool { return a.client == client }
	used, err := l.forgetUsers(erased)
	if err == nil {
		known, err = l.forgetRecent(erased)
		known = known || used
	}
	if err == nil {
		var counted bool
		counted, err = l.forgetAccount(client)
		known = known || counted
	}
	if err != nil {
		return known, fmt.Errorf("erasing a client: %w", err)
	}
	return known, nil
}

// expire removes what is older than is kept, once in expireEvery. l.saving must be
// held.
func (l *Ledger) expire(now time.Time) error {
	if since := now.Sub(l.expired); l.privacy.Keep == 0 || since >= 0 && since < expireEvery {
		return nil
	}
	old := l.older(now)
	_, err := l.forget(func(r row) bool { return old(r.first) }, func(a recentClient) bool { return old(a.first) })
	if err == nil {
		l.expired = now
	}
	return err
}

// older returns whether what began at a time is older than is kept. What began in the
// future, by a clock that was ahead, may be.
func (l *Ledger) older(now time.Time) func(first int64) bool {
	if l.privacy.Keep == 0 {
		return func(int64) bool { return false }
	}
	end := unix(now.Add(-l.privacy.Keep))
	return func(first int64) bool { return first < end || first > unix(now) }
}

// forget folds accounts of clients into Others and removes clients from packages.
// l.saving must be held.
func (l *Ledger) forget(account func(row) bool, recent func(recentClient) bool) (found bool, err error) {
	used, err := l.forgetUsers(recent)
	if err != nil {
		return used, err
	}
	found, err = l.forgetRecent(recent)
	found = found || used
	if err != nil {
		return found, err
	}
	var gone []keyRow
	err = l.scan([]byte{l.clients.kind}, nil, func(key []byte, r row) bool {
		if string(key[1:]) != Others && account(r) {
			gone = append(gone, keyRow{slices.Clone(key), r})
		}
		return true
	})
	if err != nil {
		return found, err
	}
	return found || len(gone) > 0, l.foldClients(gone)
}

// forgetAccount folds the account of one client into Others.
func (l *Ledger) forgetAccount(client netip.Addr) (found bool, err error) {
	key := l.clients.key(clientName(client))
	r, err := l.read(key)
	if errors.Is(err, fs.ErrNotExist) || !client.IsValid() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, l.foldClients([]keyRow{{key, r}})
}

// foldClients moves accounts to Others, each at once with its sum there.
func (l *Ledger) foldClients(gone []keyRow) error {
	for part := range slices.Chunk(gone, forgetAtOnce) {
		c := &changes{ledger: l, rows: make(map[string]*row)}
		_, found, err := c.row(l.clients.key(Others))
		if err == nil {
			err = c.fold(&l.clients, part)
		}
		if err == nil {
			err = l.table.Update(c.write)
		}
		if err != nil {
			return err
		}
		l.clients.rows -= len(part)
		if !found {
			l.clients.rows++
		}
	}
	return nil
}

// forgetRecent removes clients from packages.
func (l *Ledger) forgetRecent(gone func(recentClient) bool) (found bool, err error) {
	var keys [][]byte
	var fault error
	err = l.table.Scan([]byte{l.packages.kind}, nil, func(key, value []byte) bool {
		r, err := decode(value)
		if err != nil {
			fault = rowError(key, err)
			return false
		}
		if slices.ContainsFunc(r.recent, gone) {
			keys = append(keys, slices.Clone(key))
		}
		return true
	})
	if err := errors.Join(err, fault); err != nil {
		return false, err
	}
	for part := range slices.Chunk(keys, forgetAtOnce) {
		c := &changes{ledger: l, rows: make(map[string]*row)}
		for _, key := range part {
			r, _, err := c.row(key)
			if err != nil {
				return true, err
			}
			r.recent = slices.DeleteFunc(r.recent, gone)
		}
		if err := l.table.Update(c.write); err != nil {
			return true, err
		}
	}
	return len(keys) > 0, nil
}
