package mirror

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Rates limit the bytes per second of all bodies together, by the hour of the day
// in local time; 0 is no limit.
type Rates [24]int64

// Limits of what is read at once under a rate.
const (
	// quantaPerSecond is how many times as much as a quantum the rate is: that many
	// bodies each get one in a second.
	quantaPerSecond = 64
	// minQuantum and maxQuantum bound a quantum in bytes: below, the cost of waiting
	// counts, above, it is less than the copying.
	minQuantum = 4 << 10
	maxQuantum = 64 << 10
	// burstsPerSecond makes the bytes that may come at once, after a pause, those of
	// 50 ms.
	burstsPerSecond = 20
)

// throttle holds bodies to Rates. Each reads a quantum and then waits its turn, so
// that a small file gets its share beside large ones.
type throttle struct {
	rates Rates

	mu     sync.Mutex
	limit  int64         // bytes per second; guarded by mu
	bucket *rate.Limiter // for limit; guarded by mu
}

// newThrottle returns nil where nothing is limited.
func newThrottle(r Rates) *throttle {
	if r == (Rates{}) {
		return nil
	}
	return &throttle{rates: r}
}

// burstAt is the burst in bytes for the rate r. It fits into an int of 32 bits.
func burstAt(r int64) int { return int(min(max(r/burstsPerSecond, int64(quantumAt(r))), 1<<30)) }

// quantumAt is the quantum in bytes for the rate r.
func quantumAt(r int64) int { return int(min(max(r/quantaPerSecond, minQuantum), maxQuantum)) }

// Limited reports whether bodies are limited by Rates now.
func (c *Client) Limited() bool { return c.rate.limited() }

// at returns the bucket that a Read at now is charged to, nil if there is no limit.
// Each change of the rate begins a full one: a wait under the old rate says nothing
// about the new one.
func (t *throttle) at(now time.Time) *rate.Limiter {
	r := t.rates[now.Hour()]
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case r == t.limit:
	case r == 0:
		t.bucket = nil
	default:
		t.bucket = rate.NewLimiter(rate.Limit(r), burstAt(r))
	}
	t.limit = r
	return t.bucket
}

// limited reports whether there is a limit now.
func (t *throttle) limited() bool { return t != nil && t.rates[time.Now().Hour()] != 0 }

// wait waits until n bytes that were read are within the rate, or returns the
// context's cause. When the hour changes, the new rate counts.
func (t *throttle) wait(ctx context.Context, n int) error {
	for n > 0 {
		now := time.Now()
		bucket := t.at(now)
		if bucket == nil {
			return nil
		}
		part := min(n, bucket.Burst()) // n may be a quantum of another rate
		reserved := bucket.ReserveN(now, part)
		for ready := now.Add(reserved.DelayFrom(now)); now.Before(ready) && t.at(now) == bucket; now = time.Now() {
			if err := sleep(ctx, min(ready.Sub(now), untilNextHour(now))); err != nil {
				reserved.Cancel()
				return err
			}
		}
		if t.at(now) == bucket {
			n -= part
		}
	}
	return nil
}

// share is what a body has read of its present quantum.
type share struct {
	*throttle              // nil without a limit
	read      atomic.Int64 // bytes that have not been waited for yet
}

// allows is how many bytes, up to n, the next Read may return.
func (s *share) allows(n int) int {
	if !s.limited() {
		return n
	}
	return min(n, max(s.quantum()-int(s.read.Load()), 1))
}

// charge waits, if n more bytes complete the quantum or are the last, until they are
// within the rate, or returns the context's cause.
func (s *share) charge(ctx context.Context, n int, last bool) error {
	if s.throttle == nil {
		return nil
	}
	if read := int(s.read.Add(int64(n))); read < s.quantum() && !last {
		return nil
	}
	return s.wait(ctx, int(s.read.Swap(0)))
}

// end charges what nobody waits for any more.
func (s *share) end() {
	if s.throttle == nil {
		return
	}
	if bucket, n := s.at(time.Now()), int(s.read.Swap(0)); bucket != nil {
		bucket.ReserveN(time.Now(), min(n, bucket.Burst()))
	}
}

// quantum is the present one in bytes.
func (t *throttle) quantum() int { return quantumAt(t.rates[time.Now().Hour()]) }

// untilNextHour is how long the present hour of the local clock still lasts.
func untilNextHour(now time.Time) time.Duration {
	return time.Hour - time.Duration(now.Minute())*time.Minute - time.Duration(now.Second())*time.Second - time.Duration(now.Nanosecond())
}
