// Package ledger counts every body byte once: by where it came from, by the
// client that got it, by the archive host and the package it is about and by
// the peer it went to or came from. It counts the requests of clients, and those
// sent to mirrors or avoided. Of each package it also remembers the clients that
// requested it last, of each host how it answered. By day of the last month, it counts
// what mirrors were asked for and spared, and what passed through tunnels, by host
// (package daily). Restrict has it keep less about clients, Erase removes one of them.
//
// It uses two tables of package kv, one of them for the figures by host and day.
// Counting touches memory only; Run writes what was counted since the last time,
// twice a second, in one transaction. So after kill -9 the ledger is at most a second behind, never
// ahead, and always in agreement with itself: the totals are the sum of the
// accounts and the sum of the days. To keep that while memory and disk stay
// bounded, accounts that are too many are folded into one called Others; they
// are never dropped. The figures by host and day are written right after these.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"millpond/internal/kv"
	"millpond/internal/ledger/daily"
)

// flushEvery leaves half of the second that the ledger may be behind to the
// writing itself.
const flushEvery = 500 * time.Millisecond

// Origin is where the bytes delivered to a client came from.
type Origin uint8

// The origins.
const (
	FromStore  Origin = iota // held by this box before the request
	FromPeer                 // fetched from another box
	FromMirror               // fetched from upstream
)

// String returns "store", "peer" or "mirror".
func (o Origin) String() string {
	switch o {
	case FromStore:
		return "store"
	case FromPeer:
		return "peer"
	case FromMirror:
		return "mirror"
	}
	return fmt.Sprintf("Origin(%d)", uint8(o))
}

// Counts is one row of figures: bytes, and requests where the name says so.
type Counts struct {
	Requests                                       int64 // of clients
	DeliveredStore, DeliveredPeer, DeliveredMirror int64 // to clients, by origin
	MirrorTaken, PeerTaken, PeerGiven, Tunnelled   int64
	// MirrorRequests were sent to mirrors, for any reason.
	MirrorRequests int64
	// AvoidedRequests are those of clients for a Release or unknown file that were
	// answered although no request for it went to the mirror: within the TTL, or
	// with the answer that another client's request got. Direct, each would have
	// been one. A request that the box sent by itself counts as that of the client
	// who comes for the file next.
	AvoidedRequests int64
}

// Delivered is the number of body bytes that clients got, from any origin.
// Tunnelled bytes are not among them.
func (c Counts) Delivered() int64 {
	return c.DeliveredStore + c.DeliveredPeer + c.DeliveredMirror
}

// Saved is Delivered − MirrorTaken: what the mirror did not have to send. It
// is negative while the box has fetched more than clients requested.
func (c Counts) Saved() int64 { return c.Delivered() - c.MirrorTaken }

// Plus is the sum of c and d.
func (c Counts) Plus(d Counts) Counts {
	c.add(d)
	return c
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.DeliveredStore += d.DeliveredStore
	c.DeliveredPeer += d.DeliveredPeer
	c.DeliveredMirror += d.DeliveredMirror
	c.MirrorTaken += d.MirrorTaken
	c.PeerTaken += d.PeerTaken
	c.PeerGiven += d.PeerGiven
	c.Tunnelled += d.Tunnelled
	c.MirrorRequests += d.MirrorRequests
	c.AvoidedRequests += d.AvoidedRequests
}

// Ledger keeps the counts. Its methods may be called from several goroutines.
// The counting methods ignore n ≤ 0 and do no input or output.
type Ledger struct {
	table   *kv.Table
	full    chan struct{} // signals Run that pending is filling up
	privacy Privacy       // set by Restrict
	tunnels *daily.Book[TunnelFigures]
	mirrors *daily.Book[MirrorFigures]

	// saving is held while the table is written. Lock order: saving, mu.
	saving                          sync.Mutex
	clients, hosts, peers, packages book      // guarded by saving
	trimmed, expired                time.Time // guarded by saving

	mu      sync.Mutex
	totals  row      // guarded by mu; pending included
	pending *pending // guarded by mu; not yet in the table
	err     error    // guarded by mu; of the last Flush
}

// File is what is counted about. Package is "" for a file of none, such as an
// index.
type File struct {
	Host    string // of the archive, upstream
	Package string // binary package, or source package of a source file
}

// Open reads the ledger that t holds, or begins one, and the figures by host and day in
// byDay. It reads every row, which are some 50,000 at most, so that a row that does not
// decode is an error here and not while counting; the error names the row.
func Open(t, byDay *kv.Table) (*Ledger, error) {
	l := &Ledger{
		table:    t,
		full:     make(chan struct{}, 1),
		clients:  book{kind: 'c', limit: maxClients},
		hosts:    book{kind: hostKind, limit: maxHosts},
		peers:    book{kind: 'p', limit: maxPeers},
		packages: book{kind: 'k', limit: maxPackages},
		pending:  newPending(),
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	if err := l.beginPackages(); err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	totals, err := l.read(totalsKey)
	if errors.Is(err, fs.ErrNotExist) {
		// Written at once: the time it began must not move.
		totals = row{}
		totals.seen(unix(time.Now()))
		err = t.Put(totalsKey, totals.encode())
	}
	if err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	l.totals = totals
	if l.tunnels, err = daily.Open[TunnelFigures](byDay, tunnelKind); err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	if l.mirrors, err = daily.Open[MirrorFigures](byDay, mirrorKind); err != nil {
		return nil, fmt.Errorf("opening ledger: %w", err)
	}
	return l, nil
}

// check reads all rows and counts those of each book.
func (l *Ledger) check() error {
	var fault error
	err := l.table.Scan(nil, nil, func(key, value []byte) bool {
		if !validKey(key) {
			fault = rowError(key, errors.New("not a key of this version of millpond"))
			return false
		}
		if _, err := decode(value); err != nil {
			fault = rowError(key, err)
			return false
		}
		for _, b := range []*book{&l.clients, &l.hosts, &l.peers, &l.packages} {
			if key[0] == b.kind {
				b.rows++
			}
		}
		return true
	})
	return errors.Join(err, fault)
}

// beginPackages gives a ledger that was kept before there were accounts of
// packages one account of them, of all that was counted by host until then.
func (l *Ledger) beginPackages() error {
	if l.packages.rows > 0 || l.hosts.rows == 0 {
		return nil
	}
	var before row
	err := l.scan([]byte{l.hosts.kind}, nil, func(_ []byte, r row) bool {
		before.merge(r)
		return true
	})
	if err == nil {
		err = l.table.Put(l.packages.key(NoPackage), before.encode())
	}
	if err != nil {
		return fmt.Errorf("beginning the accounts of packages: %w", err)
	}
	l.packages.rows = 1
	return nil
}

// Run writes what was counted until ctx ends, and a last time then. A write
// that fails is tried again, with all that was counted since, and is in
// Err; only the failure of the last one is returned.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Flush()
		case <-tick.C:
		case <-l.full:
		}
		// Counting does not depend on the disk; Err returns the cause.
		_ = l.Flush()
	}
}

// Err returns why the last Flush failed, nil if it did not: the figures are
// then complete, but not safe. It is meant for the readiness of the box.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Totals returns the figures since the ledger began, and when that was.
func (l *Ledger) Totals() (Counts, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals.Counts, time.Unix(l.totals.first, 0)
}

// Request counts one request of client for f that was answered.
func (l *Ledger) Request(client netip.Addr, f File) {
	l.deliver(time.Now(), client, f, Counts{Requests: 1})
}

// Delivered counts n body bytes of f written to client. It panics if from is
// none of the constants.
func (l *Ledger) Delivered(client netip.Addr, f File, from Origin, n int64) {
	if n <= 0 {
		return
	}
	var c Counts
	switch from {
	case FromStore:
		c.DeliveredStore = n
	case FromPeer:
		c.DeliveredPeer = n
	case FromMirror:
		c.DeliveredMirror = n
	default:
		panic("ledger: " + from.String())
	}
	l.deliver(time.Now(), client, f, c)
}

// Taken counts n body bytes read from a mirror for f, whatever became of them.
func (l *Ledger) Taken(f File, n int64) {
	if n > 0 {
		l.take(time.Now(), f, Counts{MirrorTaken: n})
	}
}

// Asked counts one request sent to a mirror for f, and the status of its answer.
func (l *Ledger) Asked(f File, status int) { l.ask(time.Now(), f, status) }

// Avoided counts one of the AvoidedRequests, for f.
func (l *Ledger) Avoided(f File) { l.take(time.Now(), f, Counts{AvoidedRequests: 1}) }

// PeerTaken counts n body bytes read from peer, whatever became of them.
func (l *Ledger) PeerTaken(peer string, n int64) {
	if n > 0 {
		l.peer(time.Now(), peer, Counts{PeerTaken: n})
	}
}

// PeerGiven counts n body bytes written to peer.
func (l *Ledger) PeerGiven(peer string, n int64) {
	if n > 0 {
		l.peer(time.Now(), peer, Counts{PeerGiven: n})
	}
}

// Tunnelled counts n bytes that passed for client through a tunnel to host:port, both
// directions together.
func (l *Ledger) Tunnelled(client netip.Addr, host string, n int64) {
	if n > 0 {
		l.tunnel(time.Now(), client, host, n)
	}
}

// There are five ways to count: each adds the same counts to the totals, to a
// minute, and to one account of every kind that it is about.

func (l *Ledger) deliver(now time.Time, client netip.Addr, f File, c Counts) {
	client = l.account(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	sec := l.count(now, c)
	l.loaded(now, f.Host, MirrorFigures{Clients: Load{c.Requests, c.Delivered()}})
	l.pending.clients.entry(client, sec).add(c)
	l.pending.hosts.entry(f.Host, sec).add(c)
	p := l.pending.packages.entry(f.account(), sec)
	p.add(c)
	if f.Package != "" && client.IsValid() && !l.privacy.NoPackages {
		p.recent.note(recentClient{client, sec, c.Requests, c.Delivered(), l.privacy.firstAt(sec)})
	}
}

func (l *Ledger) take(now time.Time, f File, c Counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sec := l.count(now, c)
	if c.AvoidedRequests > 0 {
		l.loaded(now, f.Host, MirrorFigures{Avoided: c.AvoidedRequests})
	}
	l.pending.hosts.entry(f.Host, sec).add(c)
	l.pending.packages.entry(f.account(), sec).add(c)
}

func (l *Ledger) ask(now time.Time, f File, status int) {
	c := Counts{MirrorRequests: 1}
	l.mu.Lock()
	defer l.mu.Unlock()
	sec := l.count(now, c)
	l.loaded(now, f.Host, answered(status, Load{Requests: 1}))
	h := l.pending.hosts.entry(f.Host, sec)
	h.add(c)
	h.answers.note(status, 1)
	l.pending.packages.entry(f.account(), sec).add(c)
}

func (l *Ledger) peer(now time.Time, peer string, c Counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending.peers.entry(peer, l.count(now, c)).add(c)
}

func (l *Ledger) tunnel(now time.Time, client netip.Addr, host string, n int64) {
	c := Counts{Tunnelled: n}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tunnels.Count(now, host, TunnelFigures{Bytes: n}, l.user(client), n)
	l.pending.clients.entry(l.account(client), l.count(now, c)).add(c)
}

// account is the name of the account of packages that f belongs to.
func (f File) account() string {
	if f.Package == "" {
		return NoPackage
	}
	return f.Package
}

// count adds c to the totals and to the minute of now, and returns now in Unix
// seconds. l.mu must be held.
func (l *Ledger) count(now time.Time, c Counts) int64 {
	sec := unix(now)
	l.totals.seen(sec)
	l.totals.add(c)
	l.pending.minute(sec).add(c)
	// Not while flushing fails: that would be tried at every count.
	if l.err == nil && l.pending.fillingUp() {
		select {
		case l.full <- struct{}{}:
		default: // Run has a signal already
		}
	}
	return sec
}

// account is the address that client is counted by, none if clients have no
// accounts.
func (l *Ledger) account(client netip.Addr) netip.Addr {
	if l.privacy.NoClients {
		return netip.Addr{}
	}
	return account(client)
}

// account is the address that stands for client: IPv4 in one form only, and
// without a zone, which is a matter of this box and not of the client.
func account(client netip.Addr) netip.Addr { return client.Unmap().WithZone("") }
