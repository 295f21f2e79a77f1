package swarm

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Fault is what a peer did wrong.
type Fault uint8

const (
	Slow   Fault = iota // stalled or missed a piece's time-out
	Failed              // broke off, refused what its inventory listed
	Lied                // bytes, a manifest or an inventory that are false: banned
)

func (f Fault) String() string { return [...]string{"slow", "failed", "lied"}[f] }

// How scores judge the boxes.
//
// Measured is what transfers show, nothing that a box says about itself or
// about others, so that nobody can praise himself or blame a rival:
//
//   - the penalty: each Slow adds 1 and each Failed 2; each transfer that
//     succeeds takes off a tenth of it;
//   - the rate: the mean of the transfers of 64 KiB and more in bytes per
//     second, a new one counting for a quarter;
//   - strikes: one for each Lied.
//
// Decay: a penalty halves every 5 minutes, since a box that was overloaded is
// not so for ever. A strike is forgotten for each day that passes after the
// ban has run out. Penalties and rates are lost with the process; strikes and
// bans are in the Datastore, or a restart would be a pardon.
//
// The score is 1/(1+penalty): 1 for a box without fault, and what the
// dashboard shows. It decides three things.
//
//   - The order in Neighbours and Downloading: by the time that 1 MiB may be
//     expected to take, (round trip + 1 MiB/rate)/score. A box that was not
//     measured is assumed to be fast, or it would never be measured.
//   - Whether a box is asked at all: with a score under 0.2, as after five Slow
//     in a row, it rests and is in no list until the decay lifts it. Neither is
//     one that let a request go unanswered, until it answers a ping.
//   - Bans, for Lied alone. Wrong bytes are never an accident of the network,
//     which TLS rules out, and the disk of an honest box is checked before it
//     announces. The box is disconnected and refused for 1 minute, then, with
//     each further strike, 10 minutes, 1 hour, 6 hours and 24 hours.
//
// Identities cost nothing, so the address counts too: when a second identity
// lies from an address (an IPv4 address or an IPv6 /64), the address is banned
// on the same scale. The first does not ban it, since honest boxes may stand
// behind the same NAT, and loopback is never banned.
const (
	slowPenalty     = 1
	failedPenalty   = 2
	successRelief   = 0.9
	penaltyHalfLife = 5 * time.Minute
	leastScore      = 0.2

	rateShare    = 0.25
	rateLeast    = 64 << 10 // smaller transfers measure the round trip
	costBytes    = 1 << 20
	unknownRTT   = 50 * time.Millisecond
	maxScores    = 4096 // boxes remembered, connected or not: about 1 MB
	maxFaultText = 200
)

// scores judges the boxes by their transfers.
type scores struct {
	bans *bans

	mu    sync.Mutex // guards boxes
	boxes map[p2p.ID]*score
}

type score struct {
	penalty float64   // as of at
	at      time.Time // of the last change
	rate    float64   // bytes per second; 0: not known
	fault   string    // the last one
}

// newScores reads the bans that an earlier process left in store.
func newScores(store ds.Datastore, log *slog.Logger) (*scores, error) {
	b, err := loadBans(store, log)
	if err != nil {
		return nil, err
	}
	return &scores{bans: b, boxes: make(map[p2p.ID]*score)}, nil
}

// served takes a transfer of n bytes that went well into account.
func (c *scores) served(id p2p.ID, n int64, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.get(id)
	s.decay(time.Now())
	s.penalty *= successRelief
	if n < rateLeast || took <= 0 {
		return
	}
	rate := float64(n) / took.Seconds()
	if s.rate > 0 {
		rate = s.rate + rateShare*(rate-s.rate)
	}
	s.rate = rate
}

// fault takes a fault into account. It returns true if the box, which is at
// addr, is banned for it.
func (c *scores) fault(id p2p.ID, addr ma.Multiaddr, f Fault, why string) bool {
	c.mu.Lock()
	s := c.get(id)
	s.decay(time.Now())
	s.fault = fmt.Sprintf("%.*s", maxFaultText, why)
	switch f {
	case Slow:
		s.penalty += slowPenalty
	case Failed:
		s.penalty += failedPenalty
	}
	c.mu.Unlock()
	if f != Lied {
		return false
	}
	c.bans.lied(id, placeOf(addr))
	return true
}

// get makes room by forgetting the box with the least penalty.
func (c *scores) get(id p2p.ID) *score {
	if s := c.boxes[id]; s != nil {
		return s
	}
	if len(c.boxes) >= maxScores {
		var least p2p.ID
		penalty := math.Inf(1)
		for id, s := range c.boxes {
			if s.decay(time.Now()); s.penalty < penalty {
				least, penalty = id, s.penalty
			}
		}
		delete(c.boxes, least)
	}
	s := &score{at: time.Now()}
	c.boxes[id] = s
	return s
}

func (s *score) decay(now time.Time) {
	s.penalty *= math.Exp2(-float64(now.Sub(s.at)) / float64(penaltyHalfLife))
	s.at = now
}

// of returns the score and the rate, 0 if it is not known.
func (c *scores) of(id p2p.ID) (score, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.boxes[id]
	if s == nil {
		return 1, 0
	}
	s.decay(time.Now())
	return 1 / (1 + s.penalty), s.rate
}

// cost ranks the boxes that may be asked: the lowest is the best. It is false
// for a box that is banned or rests.
func (c *scores) cost(id p2p.ID, rtt time.Duration) (time.Duration, bool) {
	score, rate := c.of(id)
	if score < leastScore || c.banned(id) {
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

// banned is asked by the gate for each dial and each connection.
func (c *scores) banned(id p2p.ID) bool {
	return !c.bans.until(banKey(id)).IsZero()
}

// bannedAt is asked by the gate for the address of each connection.
func (c *scores) bannedAt(addr ma.Multiaddr) bool {
	at := placeOf(addr)
	return at.IsValid() && !c.bans.until(placeKey(at)).IsZero()
}

// count is the number of bans in force, for Status.
func (c *scores) count() int { return c.bans.count() }

// describe fills in Score, BannedUntil and LastFault.
func (c *scores) describe(info *PeerInfo, id p2p.ID) {
	info.Score, _ = c.of(id)
	info.BannedUntil = c.bans.until(banKey(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.boxes[id]; s != nil {
		info.LastFault = s.fault
	}
}

// placeOf is what an address ban covers; none for loopback and for addresses
// without an IP.
func placeOf(addr ma.Multiaddr) netip.Prefix {
	if addr == nil {
		return netip.Prefix{}
	}
	ip, err := manet.ToIP(addr)
	if err != nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(ip)
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}
	}
	p, _ := a.Prefix(bits)
	return p
}

// Ban keeps the box out for d and cuts its connections; with d ≤ 0 it lifts
// the ban. An error means that id is no peer ID.
func (s *Swarm) Ban(id string, d time.Duration) error {
	p, err := p2p.Decode(id)
	if err != nil {
		return fmt.Errorf("banning %.80q: not a peer ID: %w", id, err)
	}
	s.scores.bans.set(p, d)
	if d > 0 {
		s.cut(p)
	}
	return nil
}

// cut closes the connections to a banned box. They may be in the midst of a
// write, so nobody waits for it.
func (s *Swarm) cut(id p2p.ID) {
	for _, c := range s.host.Network().ConnsToPeer(id) {
		go c.Close()
	}
}
