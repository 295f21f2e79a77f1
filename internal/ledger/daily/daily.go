// Package daily keeps figures by host and UTC day, of the last 31 days, beside their
// sums since the host was first seen, and the clients that used the host last.
//
// A Book holds all of it in memory, in a bounded number of records, and writes those
// that changed when it is told to. Hosts that are too many are folded into one record
// called Others; their figures are never dropped. A record that does not decode is an
// error that names it.
package daily

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"millpond/internal/kv"
	"millpond/internal/party"
)

// Others is the record of all hosts that have none of their own.
const Others = "others"

const (
	// MaxDays is how many days are kept, today included: a month.
	MaxDays = 31
	// MaxHosts bounds the records, Others not included. With all days and clients one
	// takes some 6 KB of memory; a site uses a few dozen hosts.
	MaxHosts = 256
	// maxClients is how many clients are remembered of a host.
	maxClients = 16
	// maxName is the longest name of a host: a DNS name and a port.
	maxName = 255 + len(":65535")
	// passing is for how long a host was seen at least that does not give way to
	// those of a flood.
	passing = int64(time.Hour / time.Second)
	// atOnce is how many records one transaction writes: full ones take a third of the
	// 1.2 MB that there is room for.
	atOnce = 64
)

// Figures are counts of one kind.
type Figures[F any] interface {
	// Plus returns the sum.
	Plus(F) F
}

// Book is the records of one kind. Its methods may be called from several goroutines.
type Book[F Figures[F]] struct {
	table *kv.Table
	kind  byte // first byte of its keys

	writing sync.Mutex // held while the table is written; before mu

	mu      sync.Mutex
	hosts   map[string]*record[F] // guarded by mu
	changed map[string]struct{}   // guarded by mu; hosts whose record is not in the table as it is
}

// record is what is kept of one host. Times are in Unix seconds.
type record[F Figures[F]] struct {
	First   int64    `json:"first"`
	Last    int64    `json:"last"`
	Ever    F        `json:"ever"`
	Days    []day[F] `json:"days"`              // the oldest first; at most MaxDays
	Clients []client `json:"clients,omitempty"` // in no order, each once; at most maxClients
}

type day[F Figures[F]] struct {
	Day int64 `json:"day"` // since 1970
	Sum F     `json:"sum"`
}

type client struct {
	Addr  netip.Addr `json:"addr"`
	First int64      `json:"first"`
	Last  int64      `json:"last"`
	Bytes int64      `json:"bytes"`
}

// Open reads the records that t has under keys that begin with kind.
func Open[F Figures[F]](t *kv.Table, kind byte) (*Book[F], error) {
	b := &Book[F]{table: t, kind: kind, hosts: make(map[string]*record[F]), changed: make(map[string]struct{})}
	var fault error
	err := t.Scan([]byte{kind}, nil, func(key, value []byte) bool {
		r, err := decode[F](value)
		if err != nil {
			fault = fmt.Errorf("record %q: %w", key, err)
			return false
		}
		b.hosts[string(key[1:])] = r
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, fmt.Errorf("reading figures by day: %w", err)
	}
	return b, nil
}

func decode[F Figures[F]](value []byte) (*record[F], error) {
	r := new(record[F])
	if err := json.Unmarshal(value, r); err != nil {
		return nil, err
	}
	switch {
	case len(r.Days) > MaxDays:
		return nil, fmt.Errorf("%d days, more than %d", len(r.Days), MaxDays)
	case len(r.Clients) > maxClients:
		return nil, fmt.Errorf("%d clients, more than %d", len(r.Clients), maxClients)
	}
	return r, nil
}

// Count adds f to a host's figures. If from is valid, it is remembered as a client of
// the host, with n bytes.
func (b *Book[F]) Count(now time.Time, host string, f F, from netip.Addr, n int64) {
	if host == "" || len(host) > maxName {
		host = Others
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.hosts[host]
	if r == nil {
		r = new(record[F])
		b.hosts[host] = r
	}
	r.add(max(now.Unix(), 0), f, from, n)
	b.changed[host] = struct{}{}
	if len(b.hosts) > MaxHosts+1 {
		b.fold(host)
	}
}

func (r *record[F]) add(sec int64, f F, from netip.Addr, n int64) {
	r.Ever = r.Ever.Plus(f)
	r.seen(sec)
	r.on(sec/secondsADay, f)
	if from.IsValid() {
		r.note(client{Addr: from, First: sec, Last: sec, Bytes: n})
	}
}

const secondsADay = 24 * 60 * 60

// seen widens the time of the record to contain sec. Zero stands for never.
func (r *record[F]) seen(sec int64) {
	if r.First == 0 || sec < r.First {
		r.First = sec
	}
	r.Last = max(r.Last, sec)
}

// on adds f to a day. The oldest day gives way to one too many.
func (r *record[F]) on(d int64, f F) {
	i, found := slices.BinarySearchFunc(r.Days, d, func(have day[F], d int64) int { return int(have.Day - d) })
	if !found {
		r.Days = slices.Insert(r.Days, i, day[F]{Day: d})
	}
	r.Days[i].Sum = r.Days[i].Sum.Plus(f)
	if len(r.Days) > MaxDays {
		r.Days = slices.Delete(r.Days, 0, len(r.Days)-MaxDays)
	}
}

// note adds the figures of a client. The one seen longest ago gives way to one too many.
func (r *record[F]) note(c client) {
	for i := range r.Clients {
		if have := &r.Clients[i]; have.Addr == c.Addr {
			have.First, have.Last, have.Bytes = min(have.First, c.First), max(have.Last, c.Last), have.Bytes+c.Bytes
			return
		}
	}
	r.Clients = append(r.Clients, c)
	if len(r.Clients) > maxClients {
		slices.SortFunc(r.Clients, func(a, b client) int { return int(b.Last - a.Last) })
		r.Clients = r.Clients[:maxClients]
	}
}

func (r *record[F]) merge(o *record[F]) {
	r.Ever = r.Ever.Plus(o.Ever)
	r.seen(o.First)
	r.seen(o.Last)
	for _, d := range o.Days {
		r.on(d.Day, d.Sum)
	}
	for _, c := range o.Clients {
		r.note(c)
	}
}

// fold moves a twentieth of the hosts to Others, by package party's rule, as clients can
// name hosts without end. Newest is not among them. b.mu must be held.
func (b *Book[F]) fold(newest string) {
	var all []party.Entry
	for _, host := range slices.Sorted(maps.Keys(b.hosts)) {
		if host == newest || host == Others {
			continue
		}
		r := b.hosts[host]
		e := party.Entry{Host: host, Weight: 1, Used: r.Last}
		if r.Last-r.First >= passing {
			e.Class = 1
		}
		all = append(all, e)
	}
	others := b.hosts[Others]
	if others == nil {
		others = new(record[F])
		b.hosts[Others] = others
	}
	b.changed[Others] = struct{}{}
	for _, i := range party.Order(all, MaxHosts/20) {
		host := all[i].Host
		others.merge(b.hosts[host])
		delete(b.hosts, host)
		b.changed[host] = struct{}{}
	}
}

// Forget removes the clients that gone reports, given when each was first seen, from all
// records; found reports whether there was any.
func (b *Book[F]) Forget(gone func(addr netip.Addr, first int64) bool) (found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for host, r := range b.hosts {
		n := len(r.Clients)
		r.Clients = slices.DeleteFunc(r.Clients, func(c client) bool { return gone(c.Addr, c.First) })
		if len(r.Clients) < n {
			b.changed[host] = struct{}{}
			found = true
		}
	}
	return found
}

// Flush writes what changed. When it fails, the next Flush tries again.
func (b *Book[F]) Flush() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	rows, err := b.take()
	for part := range slices.Chunk(rows, atOnce) {
		if err != nil {
			break
		}
		err = b.table.Update(func(tx *kv.Tx) error { return put(tx, part) })
	}
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, row := range rows {
		b.changed[string(row.key[1:])] = struct{}{}
	}
	return fmt.Errorf("writing figures by day: %w", err)
}

type row struct{ key, value []byte } // without a value it is deleted

// take returns the rows of what changed, which counts as written from then on.
func (b *Book[F]) take() (rows []row, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for host := range b.changed {
		w := row{key: append([]byte{b.kind}, host...)}
		if r := b.hosts[host]; r != nil {
			if w.value, err = json.Marshal(r); err != nil {
				return rows, err
			}
		}
		rows = append(rows, w)
	}
	clear(b.changed)
	return rows, nil
}

func put(tx *kv.Tx, rows []row) error {
	for _, w := range rows {
		var err error
		if w.value == nil {
			err = tx.Delete(w.key)
		} else {
			err = tx.Put(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
