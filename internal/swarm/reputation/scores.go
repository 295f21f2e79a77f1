// Package reputation scores peers by what they do and bans those that lie.
//
// Only transfers and answers that this box took part in count, nothing that a
// peer says about itself or about others, so that nobody can improve its own
// score or damage another's:
//
//   - the penalty: each Slow adds 1 and each Failed 2; each transfer that
//     succeeds takes off a tenth of it;
//   - the rate: the mean of the transfers of 64 KiB and more in bytes per
//     second, a new one counting for a quarter;
//   - strikes: one for each Lied.
//
// A penalty halves every 5 minutes, since an overload passes. A strike is
// forgotten for each day that passes after the ban has run out. Penalties and
// rates are lost with the process; strikes and bans are in the datastore, or a
// restart would lift them.
//
// The score is 1/(1+penalty): 1 for a peer without fault. It decides three
// things:
//
//   - The order in which peers are asked: by the time that 1 MiB is expected
//     to take, (round trip + 1 MiB/rate)/score. A peer that was not measured is
//     assumed to be fast, or it would never be measured.
//   - Whether a peer is asked at all: with a score under 0.2, as after five
//     Slow in a row, it is excluded until its score recovers.
//   - Bans, for Lied alone. Wrong bytes are never an accident of the network,
//     which TLS rules out, and an honest box checks its disk before it
//     announces. The peer is disconnected and refused for 1 minute, then, with
//     each further strike, 10 minutes, 1 hour, 6 hours and 24 hours.
//
// Identities cost nothing, so the address counts too: when a second identity
// lies from an address (an IPv4 address or an IPv6 /64), the address is banned
// on the same scale. The first does not ban it, since honest boxes may stand
// behind the same NAT, and loopback is never banned.
//
// Peers are named by the text form of their IDs.
package reputation

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"

	"millpond/internal/address"
	"millpond/internal/peer"
)

const (
	slowPenalty     = 1
	failedPenalty   = 2
	successRelief   = 0.9
	penaltyHalfLife = 5 * time.Minute
	minScore        = 0.2

	rateShare    = 0.25
	minRateBytes = 64 << 10 // smaller transfers measure the round trip
	costBytes    = 1 << 20
	unknownRTT   = 50 * time.Millisecond
	maxPeers     = 4096 // remembered, connected or not: about 1 MB
	maxFaultText = 200  // bytes
)

// Table has the scores and bans of all peers. It is safe for concurrent use.
type Table struct {
	bans *bans

	mu     sync.Mutex // guards scores
	scores map[string]*score
}

type score struct {
	penalty float64   // as of at
	at      time.Time // of the last change
	rate    float64   // bytes per second; 0: not known
	fault   string    // the last one
}

// New reads the bans that an earlier process left in store.
func New(store ds.Datastore, log *slog.Logger) (*Table, error) {
	b, err := loadBans(store, log)
	if err != nil {
		return nil, err
	}
	return &Table{bans: b, scores: make(map[string]*score)}, nil
}

// Served takes a transfer of n bytes that went well into account.
func (t *Table) Served(id string, n int64, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.get(id)
	s.decay(time.Now())
	s.penalty *= successRelief
	if n < minRateBytes || took <= 0 {
		return
	}
	rate := float64(n) / took.Seconds()
	if s.rate > 0 {
		rate = s.rate + rateShare*(rate-s.rate)
	}
	s.rate = rate
}

// Fault takes a fault of the peer id into account, which is at addr; addr may
// be the zero Addr. It returns true if the peer is banned for it.
func (t *Table) Fault(id string, addr netip.Addr, f peer.Fault, why string) bool {
	t.mu.Lock()
	s := t.get(id)
	s.decay(time.Now())
	s.fault = fmt.Sprintf("%.*s", maxFaultText, why)
	switch f {
	case peer.Slow:
		s.penalty += slowPenalty
	case peer.Failed:
		s.penalty += failedPenalty
	}
	t.mu.Unlock()
	if f != peer.Lied {
		return false
	}
	t.bans.lied(id, networkOf(addr))
	return true
}

// get makes room by forgetting the peer with the least penalty.
func (t *Table) get(id string) *score {
	if s := t.scores[id]; s != nil {
		return s
	}
	if len(t.scores) >= maxPeers {
		var best string
		penalty := math.Inf(1)
		for id, s := range t.scores {
			if s.decay(time.Now()); s.penalty < penalty {
				best, penalty = id, s.penalty
			}
		}
		delete(t.scores, best)
	}
	s := &score{at: time.Now()}
	t.scores[id] = s
	return s
}

func (s *score) decay(now time.Time) {
	s.penalty *= math.Exp2(-float64(now.Sub(s.at)) / float64(penaltyHalfLife))
	s.at = now
}

// Score returns the score of id.
func (t *Table) Score(id string) float64 {
	score, _ := t.measured(id)
	return score
}

// measured returns the score and the rate, 0 if it is not known.
func (t *Table) measured(id string) (score, rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.scores[id]
	if s == nil {
		return 1, 0
	}
	s.decay(time.Now())
	return 1 / (1 + s.penalty), s.rate
}

// Cost ranks the peers that may be asked: the lowest is the best. rtt is 0 if
// it is not known. It is false for a peer that is banned or excluded.
func (t *Table) Cost(id string, rtt time.Duration) (time.Duration, bool) {
	score, rate := t.measured(id)
	if score < minScore || t.Banned(id) {
		return 0, false
	}
	if rtt == 0 {
		rtt = unknownRTT
	}
	seconds := rtt.Seconds()
	if rate > 0 {
		seconds += costBytes / rate
	}
	return time.Duration(seconds / score * float64(time.Second)), true
}

// LastFault says what id did wrong last; empty if nothing is known.
func (t *Table) LastFault(id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.scores[id]; s != nil {
		return s.fault
	}
	return ""
}

// Banned reports whether a ban of id is in force.
func (t *Table) Banned(id string) bool { return !t.BannedUntil(id).IsZero() }

// BannedUntil is when the ban of id ends; zero if none is in force.
func (t *Table) BannedUntil(id string) time.Time {
	if t.bans.empty() { // mostly; to make a key costs more than all else here
		return time.Time{}
	}
	return t.bans.until(banKey(id))
}

// AddrBanned reports whether a ban of the network that addr is in is in force.
func (t *Table) AddrBanned(addr netip.Addr) bool {
	at := networkOf(addr)
	return at.IsValid() && !t.bans.until(networkKey(at)).IsZero()
}

// Bans is the number of bans in force.
func (t *Table) Bans() int { return t.bans.count() }

// Ban bans id for d; with d ≤ 0 it lifts the ban and forgets the strikes.
func (t *Table) Ban(id string, d time.Duration) { t.bans.set(id, d) }

// networkOf is what an address ban covers; none for the zero Addr, and for loopback
// and the other addresses of a site: behind a NAT, a Service or Docker's proxy all
// boxes have one of these.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	if !addr.IsValid() || addr.IsLoopback() || address.OfSite(addr) {
		return netip.Prefix{}
	}
	p, _ := addr.Prefix(bits)
	return p
}
