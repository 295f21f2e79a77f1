// Package clients notes what each client did, beside its bytes, which the ledger counts:
// which suites it updated from and when, which packages it got in which version, and which
// of its requests were not served and why.
//
// It uses one table of package kv. Noting touches memory only; Run writes what was noted
// every two seconds. These are notes, not figures: where there are too many, the oldest
// go, of a client that has more than its part first of its own, and what cannot be written
// for long is lost. Memory holds counts of each client, the database the rest.
package clients

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

// Bounds.
const (
	// maxClients is as many as the ledger has accounts for.
	maxClients = 20_000
	// maxSuites, maxFailures and maxPackages are of one client. A desktop has 2,000
	// packages installed.
	maxSuites   = 32
	maxFailures = 16
	maxPackages = 2048
	// maxInAll bounds the packages of all clients.
	maxInAll = 500_000
	// maxPending bounds what is not written yet, and so one transaction.
	maxPending = 2048
	// maxKey and maxText bound what a row has of texts that clients choose.
	maxKey  = 512
	maxText = 500

	flushEvery = 2 * time.Second
)

// Privacy is what is not noted about clients.
type Privacy struct {
	NoClients  bool          // nothing at all
	NoPackages bool          // neither packages nor the URLs of failures
	Keep       time.Duration // how long a client's notes are kept from the first one on; 0 is for good
}

// Notes are safe for concurrent use.
type Notes struct {
	table   *kv.Table
	began   time.Time
	log     *slog.Logger
	privacy Privacy
	limits  limits
	full    chan struct{} // has Run write early

	// saving is held while the table is written. Lock order: saving, mu.
	saving sync.Mutex

	mu      sync.Mutex
	tallies map[netip.Addr]*tally // guarded by mu
	inAll   int                   // guarded by mu; packages of all clients in the table
	pending map[string]row        // guarded by mu; by key
}

// limits are those above; tests have smaller ones.
type limits struct{ clients, suites, failures, packages, inAll, pending int }

// tally is what memory has of a client.
type tally struct {
	Began   int64          `json:"b"` // Unix seconds, as the others
	Seen    int64          `json:"s"`
	Updated int64          `json:"u"`
	Rows    map[string]int `json:"r"` // in the table, by kind
}

// Open reads who is noted in t, and removes what p does not allow; removed reports
// whether there was any.
func Open(t *kv.Table, p Privacy, log *slog.Logger) (n *Notes, removed bool, err error) {
	n = &Notes{
		table: t, log: log, privacy: p, full: make(chan struct{}, 1),
		limits:  limits{maxClients, maxSuites, maxFailures, maxPackages, maxInAll, maxPending},
		tallies: make(map[netip.Addr]*tally), pending: make(map[string]row),
	}
	if err := n.load(); err != nil {
		return nil, false, fmt.Errorf("opening the notes about clients: %w", err)
	}
	if removed, err = n.restrict(); err != nil {
		return nil, removed, fmt.Errorf("removing notes about clients: %w", err)
	}
	return n, removed, nil
}

// Run writes what is noted until ctx ends.
func (n *Notes) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for failing := false; ; {
		err := n.Flush() // what failed is tried again
		if err != nil && !failing {
			n.log.Warn("notes about clients were not written", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.full:
		}
	}
}

// Updated notes that a client got or confirmed the Release of the suite in the directory
// with that URL, through a ring ("" without one).
func (n *Notes) Updated(client netip.Addr, suite, ring string, generation digest.Digest) {
	now := time.Now().Unix()
	client = plain(client)
	n.note(client, kindSuite, ring+"\x00"+suite, row{Text: generation.String(), First: now, Last: now, Times: 1})
}

// Got notes that a client was sent n bytes of the file of a package; whole says that it
// has all of it now.
func (n *Notes) Got(client netip.Addr, f deb.File, bytes int64, whole bool) {
	if n.privacy.NoPackages || f.Type == "" || f.Package == "" {
		return
	}
	now := time.Now().Unix()
	r := row{First: now, Last: now, Times: 1, Bytes: bytes}
	if whole {
		r.Text = f.Version
	}
	n.note(plain(client), kindPackage, strings.Join([]string{f.Package, f.Architecture, f.Type}, "\x00"), r)
}

// Failed notes that a request of a client was not served.
func (n *Notes) Failed(client netip.Addr, status int, cause, url string) {
	if n.privacy.NoPackages {
		cause, url = "", ""
	}
	if url != "" {
		cause = strings.ReplaceAll(cause, url, "the file") // so that failures of many files are one
	}
	cause = short(cause)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", status, cause))
	now := time.Now().Unix()
	n.note(plain(client), kindFailure, string(sum[:8]), row{Text: short(url), Cause: cause, Status: status, First: now, Last: now, Times: 1})
}

// note adds a row to what is to be written.
func (n *Notes) note(client netip.Addr, kind byte, name string, r row) {
	if n.privacy.NoClients || !client.IsValid() || len(name) > maxKey {
		return
	}
	key := keyOf(kind, client, name)
	n.mu.Lock()
	defer n.mu.Unlock()
	old, known := n.pending[key]
	if !known && len(n.pending) >= n.limits.pending {
		return // the database takes nothing, or not fast enough
	}
	t := n.tallies[client]
	if t == nil && len(n.tallies) >= n.limits.clients+n.limits.pending {
		return // flushes fail, so that none can be forgotten
	}
	if t == nil {
		t = &tally{Began: r.First, Rows: make(map[string]int)}
		n.tallies[client] = t
	}
	old.merge(r)
	n.pending[key] = old
	t.Seen = max(t.Seen, r.Last)
	if kind == kindSuite {
		t.Updated = max(t.Updated, r.Last)
	}
	if len(n.pending) == n.limits.pending/2 {
		select {
		case n.full <- struct{}{}:
		default:
		}
	}
}

// LastUpdate is when a client last got or confirmed a Release, zero if that is not known.
func (n *Notes) LastUpdate(client netip.Addr) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tallies[plain(client)]; t != nil && t.Updated > 0 {
		return time.Unix(t.Updated, 0).UTC()
	}
	return time.Time{}
}

// Began is when the first note could be made.
func (n *Notes) Began() time.Time { return n.began }

// plain is the address that stands for a client, as in the ledger.
func plain(client netip.Addr) netip.Addr { return client.Unmap().WithZone("") }

func short(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText-3], "") + "…"
	}
	return s
}

var errKey = errors.New("not a key of this version of millpond")
