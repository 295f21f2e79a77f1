// Package reputation judges peers by what they do: it keeps their scores and records,
// suspends those that keep this box waiting, and bans those that lie.
//
// Only transfers and answers that this box took part in count, nothing that a
// peer says about itself or about others, so that nobody can improve its own
// standing or damage another's:
//
//   - the penalty: each Slow or Stalled adds 1 and each Failed 2; each transfer that
//     succeeds takes off a tenth of it;
//   - the rate: the mean of the transfers of 64 KiB and more in bytes per
//     second, a new one counting for a quarter;
//   - the record: the bytes of verified files that the peer has sent;
//   - stalls: one for each Stalled; each transfer that succeeds makes up for them;
//   - strikes: one for each Lied.
//
// A penalty halves every 5 minutes, since an overload passes. A strike is
// forgotten for each day that passes after the ban has run out. Strikes and bans are
// in the datastore, or a restart would lift them. All else is lost with the process.
//
// The score is 1/(1+penalty): 1 for a peer without fault. Peers are asked in the order
// of the time that 1 MiB is expected to take, (round trip + 1 MiB/rate)/score. A peer
// that was not measured is assumed to be fast, or it would never be measured.
//
// A peer is proven by a record of 64 MiB. One Lied loses it, and so does a restart of
// this box. It does not decay: to keep a record up would cost a liar less than to earn
// it did. A peer without a record of 1 MiB is new, unless it is a member.
//
// Only what was proved wrong keeps a peer from being asked for long. What each fault
// leads to:
//
//   - Slow: the order. A score under 0.2, as after five in a row, excludes a peer for a
//     minute at most. A member or a proven peer never gets there by Slow and Stalled
//     alone: on machines that are busy all boxes are slow, and still relieve the mirror.
//   - Failed: the order, and exclusion for a minute at most, whoever it is.
//   - Stalled: two without a transfer that succeeds between them suspend the peer, it is
//     not asked for a minute. The time doubles with each further suspension, up to 30
//     minutes; a transfer of 64 KiB halves it again, and after a day it is forgotten.
//     The record makes up for no stall: it may grow by what was sent before the stall.
//   - Lied: a ban. Wrong bytes are never an accident of the network,
//     which TLS rules out, and an honest box checks its disk before it
//     announces. The peer is disconnected and refused for 1 minute, then, with
//     each further strike, 10 minutes, 1 hour, 6 hours and 24 hours.
//
// Identities cost nothing, so the address counts too:
//
//   - The new peers of a party, which is the network of their addresses, count as one
//     for stalls and suspensions. They are suspended, too, when another peer of the
//     party is suspended, and for as long as one is banned. So whoever stalls or lies gains
//     nothing by another identity. Members and peers with a record at the same
//     address, as behind a NAT, lose nothing.
//   - When a second identity lies from an address (an IPv4 address or an IPv6 /64), the
//     address is banned on the same scale. The first does not ban it, since honest
//     boxes may stand behind the same NAT, and addresses of a site are never banned.
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
	minScorePenalty = 1/minScore - 1 // that of a peer with minScore

	// provenAt is what it costs a peer to be believed about a large file before all of
	// it is verified: twice the 32 MiB up to which files are verified whole. A liar must
	// earn it anew for each lie, and at each box that it wants to deceive.
	provenAt = 64 << 20
	// newUntil is a few packages. A peer that sends the beginning of one and then stalls
	// remains new.
	newUntil = 1 << 20

	rateShare    = 0.25
	minRateBytes = 64 << 10 // smaller transfers measure the round trip
	costBytes    = 1 << 20
	unknownRTT   = 50 * time.Millisecond
	maxPeers     = 4096 // remembered, connected or not: about 1 MB
	maxFaultText = 200  // bytes
)

// maxPenalty is how much decays to minScorePenalty while a first suspension lasts: a low
// score excludes a peer for no longer.
var maxPenalty = minScorePenalty * math.Exp2(float64(suspensionTimes[0])/float64(penaltyHalfLife))

// Peer is a peer as the swarm knows it.
type Peer struct {
	ID string
	// Addr is where it is connected from; the zero Addr if that is not known.
	Addr netip.Addr
	// Party is the network of Addr whose peers count as one party; the zero Prefix if
	// there is none.
	Party netip.Prefix
	// Member says that it is a member of the swarm.
	Member bool
}

// Table has what is known of all peers. It is safe for concurrent use.
type Table struct {
	bans *bans
	log  *slog.Logger

	mu          sync.Mutex // guards the fields below
	scores      map[string]*score
	suspensions suspensions
}

type score struct {
	penalty float64   // as of at
	at      time.Time // of the last change
	rate    float64   // bytes per second; 0: not known
	right   int64     // bytes of verified files; at most provenAt
	fault   string    // the last one
}

// New reads the bans that an earlier process left in store.
func New(store ds.Datastore, log *slog.Logger) (*Table, error) {
	b, err := loadBans(store, log)
	if err != nil {
		return nil, err
	}
	return &Table{bans: b, log: log, scores: make(map[string]*score), suspensions: make(suspensions)}, nil
}

// Served takes a transfer of n bytes that went well into account.
func (t *Table) Served(p Peer, n int64, took time.Duration) {
	if n <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	s := t.get(p.ID)
	s.decay(now)
	s.penalty *= successRelief
	t.suspensions.served(s.subject(p), n >= minRateBytes, now)
	if n < minRateBytes || took <= 0 {
		return
	}
	rate := float64(n) / took.Seconds()
	if s.rate > 0 {
		rate = s.rate + rateShare*(rate-s.rate)
	}
	s.rate = rate
}

// Right adds n bytes of a verified file, which id had sent, to its record.
func (t *Table) Right(id string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.get(id)
	s.right = min(s.right+max(n, 0), provenAt)
}

// Proven reports whether id has a record of provenAt bytes.
func (t *Table) Proven(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.scores[id]
	return s != nil && s.proven()
}

// Serves reports whether id is no longer new: it has sent newUntil bytes of verified
// files since its last lie.
func (t *Table) Serves(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.scores[id]
	return s != nil && s.right >= newUntil
}

// Fault takes a fault of p into account. It returns true if p is banned for it.
func (t *Table) Fault(p Peer, f peer.Fault, why string) bool {
	lied := f == peer.Lied
	var banned time.Time
	if lied {
		banned = t.bans.lied(p.ID, networkOf(p.Addr))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	s := t.get(p.ID)
	s.decay(now)
	s.fault = fmt.Sprintf("%.*s", maxFaultText, why)
	switch f {
	case peer.Slow, peer.Stalled:
		most := maxPenalty
		if p.Member || s.proven() {
			most = minScorePenalty
		}
		s.penalty = max(s.penalty, min(s.penalty+slowPenalty, most))
	case peer.Failed:
		s.penalty = min(s.penalty+failedPenalty, maxPenalty)
	}
	if f == peer.Stalled {
		t.stalled(p, s, now)
	}
	if lied {
		s.right = 0
		t.suspendNew(p, banned, now)
	}
	return lied
}

// stalled counts a stall of p, whose score is s.
func (t *Table) stalled(p Peer, s *score, now time.Time) {
	w := s.subject(p)
	if !t.suspensions.stalled(w, p.ID, now) {
		return
	}
	t.log.Info("peer suspended, it stalled", "peer", p.ID, "until", t.suspensions.until(w, now))
	if w.id != "" {
		t.suspendNew(p, now, now)
	}
}

// suspendNew suspends the new peers of p's party because of p, until least or longer.
func (t *Table) suspendNew(p Peer, least, now time.Time) {
	if p.Party.IsValid() && !p.Member {
		t.suspensions.suspend(subject{party: p.Party}, p.ID, least, now)
	}
}

// get makes room by forgetting the peer with the least penalty, proven ones last.
func (t *Table) get(id string) *score {
	if s := t.scores[id]; s != nil {
		return s
	}
	if len(t.scores) >= maxPeers {
		var least string
		var of *score
		for id, s := range t.scores {
			s.decay(time.Now())
			if of == nil || of.proven() && !s.proven() || of.proven() == s.proven() && s.penalty < of.penalty {
				least, of = id, s
			}
		}
		delete(t.scores, least)
	}
	s := &score{at: time.Now()}
	t.scores[id] = s
	return s
}

func (s *score) decay(now time.Time) {
	s.penalty *= math.Exp2(-float64(now.Sub(s.at)) / float64(penaltyHalfLife))
	s.at = now
}

func (s *score) proven() bool { return s.right >= provenAt }

// subject returns with whom the stalls of p, whose score is s, are counted. s is nil if
// nothing is known.
func (s *score) subject(p Peer) subject {
	if p.Party.IsValid() && !p.Member && (s == nil || s.right < newUntil) {
		return subject{party: p.Party}
	}
	return subject{id: p.ID}
}

// Suspended reports whether p is suspended now.
func (t *Table) Suspended(p Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.suspensions) == 0 { // mostly
		return false
	}
	return !t.suspensions.until(t.scores[p.ID].subject(p), time.Now()).IsZero()
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
// it is not known. It is false for a peer that is banned, suspended or excluded.
func (t *Table) Cost(p Peer, rtt time.Duration) (time.Duration, bool) {
	score, rate := t.measured(p.ID)
	if score < minScore || t.Banned(p.ID) || t.Suspended(p) {
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

// Ban bans id for d; with d ≤ 0 it lifts the ban, forgets the strikes and ends the
// suspensions that id is to blame for.
func (t *Table) Ban(id string, d time.Duration) {
	t.bans.set(id, d)
	if d <= 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.suspensions.forget(id)
	}
}

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
