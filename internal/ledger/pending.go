package ledger

import "net/netip"

// Counts between two flushes are bounded too, since flushes may fail for a long
// time. The limits also keep a flush, with what it folds, well within one
// kv transaction (a test fills them all).
const (
	pendingClients  = 1024
	pendingHosts    = 256
	pendingPeers    = 256
	pendingPackages = 512
	pendingMinutes  = 1440
)

// The longest names of accounts in bytes.
const (
	maxName    = 255 // a DNS name, RFC 1035 section 2.3.4
	maxPackage = 128 // the longest in Debian have some 80
)

// pending is what was counted and is not in the table yet. It is guarded by Ledger.mu.
type pending struct {
	minutes map[int64]*Counts // by the Unix time of their start
	latest  int64             // the minute last counted in
	current *Counts           // minutes[latest]

	clients  accounts[netip.Addr]
	hosts    accounts[string]
	peers    accounts[string]
	packages accounts[string]
}

func newPending() *pending {
	return &pending{
		minutes:  make(map[int64]*Counts),
		clients:  newAccounts[netip.Addr](pendingClients),
		hosts:    newAccounts[string](pendingHosts),
		peers:    newAccounts[string](pendingPeers),
		packages: newAccounts[string](pendingPackages),
	}
}

func (p *pending) empty() bool { return len(p.minutes) == 0 }

// minute returns the counts of the minute that sec is in. When there are too
// many, it is the last one used: days of failing flushes blur the chart, but
// lose no byte.
func (p *pending) minute(sec int64) *Counts {
	start := Minute.start(sec)
	if p.current != nil && start == p.latest {
		return p.current
	}
	c := p.minutes[start]
	if c == nil {
		if len(p.minutes) >= pendingMinutes {
			return p.current
		}
		c = new(Counts)
		p.minutes[start] = c
	}
	p.latest, p.current = start, c
	return c
}

// fillingUp reports whether names must be written soon so as not to be folded.
func (p *pending) fillingUp() bool {
	return p.clients.halfFull() || p.hosts.halfFull() || p.peers.halfFull() || p.packages.halfFull()
}

// merge adds what o has, as when a flush of o has failed.
func (p *pending) merge(o *pending) {
	for start, c := range o.minutes {
		p.minute(start).add(*c)
	}
	p.clients.merge(o.clients)
	p.hosts.merge(o.hosts)
	p.peers.merge(o.peers)
	p.packages.merge(o.packages)
}

// accounts holds up to limit rows and one more, that of the zero key, for all
// names beyond limit. The zero key is also where counts without a name go.
type accounts[K comparable] struct {
	limit int
	rows  map[K]*row
}

func newAccounts[K comparable](limit int) accounts[K] {
	return accounts[K]{limit: limit, rows: make(map[K]*row)}
}

// entry returns the row of k, seen at sec.
func (a accounts[K]) entry(k K, sec int64) *row {
	r := a.rows[k]
	if r == nil && len(a.rows) >= a.limit {
		var none K
		k = none
		r = a.rows[k]
	}
	if r == nil {
		r = new(row)
		a.rows[k] = r
	}
	r.seen(sec)
	return r
}

func (a accounts[K]) halfFull() bool { return len(a.rows) >= a.limit/2 }

func (a accounts[K]) merge(o accounts[K]) {
	for k, r := range o.rows {
		a.entry(k, r.last).merge(*r)
	}
}

// named returns the rows by the names that accounts have in the table, of
// longest bytes at most. It leaves a as it is, to be counted again if the flush fails.
func (a accounts[K]) named(longest int, name func(K) string) map[string]row {
	rows := make(map[string]row, len(a.rows))
	for k, r := range a.rows {
		n := name(k)
		if n == "" || len(n) > longest {
			n = Others
		}
		sum := rows[n]
		sum.merge(*r)
		rows[n] = sum
	}
	return rows
}
