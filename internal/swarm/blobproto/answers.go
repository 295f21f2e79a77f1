package blobproto

import (
	"sync"
	"time"
)

const (
	maxAnswerTime = 3 * time.Second // allowed, unless the round trips take longer
	// A busy peer's answers vary: those of an hour may differ little, and the next one
	// by this. Linux has the same least variation in TCP's time-out (TCP_RTO_MIN).
	minVariation = 200 * time.Millisecond
	maxAnswerers = 1024 // peers remembered; a forgotten one is unknown
)

// answers measures how long peers take to answer, and derives what they are allowed, as
// TCP's retransmission time-out is (RFC 6298).
type answers struct {
	mu    sync.Mutex // guards peers
	peers map[string]*answerer
}

type answerer struct {
	smoothed, variation time.Duration // 0: not measured
	// least is allowed after an unanswered request, until the next answer: without it a
	// peer that has become slower than what it is allowed would never be measured.
	least time.Duration
	used  time.Time
}

// allowed returns how long the peer id may take with an answer. least is for one that is
// unknown or answers faster.
func (a *answers) allowed(id string, least time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[id]
	if p == nil {
		return least
	}
	p.used = time.Now()
	measured := time.Duration(0)
	if p.smoothed > 0 {
		measured = p.smoothed + max(4*p.variation, minVariation)
	}
	return max(least, min(max(measured, p.least), maxAnswerTime))
}

// took adds a sample, with the weights of RFC 6298, section 2.
func (a *answers) took(id string, sample time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.get(id)
	p.least = 0
	if p.smoothed == 0 {
		p.smoothed, p.variation = sample, sample/2
		return
	}
	p.variation += ((p.smoothed - sample).Abs() - p.variation) / 4
	p.smoothed += (sample - p.smoothed) / 8
}

// missed is called after id did not answer within allowed: it gets twice that (RFC 6298,
// section 5.5), once for all requests that were under way.
func (a *answers) missed(id string, allowed time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.get(id)
	p.least = max(p.least, 2*allowed)
}

// get makes room by forgetting the peer that was not asked for the longest time.
func (a *answers) get(id string) *answerer {
	p := a.peers[id]
	if p == nil {
		if len(a.peers) >= maxAnswerers {
			oldest := ""
			for other, o := range a.peers {
				if oldest == "" || o.used.Before(a.peers[oldest].used) {
					oldest = other
				}
			}
			delete(a.peers, oldest)
		}
		p = &answerer{}
		a.peers[id] = p
	}
	p.used = time.Now()
	return p
}
