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
	// shareOf is by how much a body's turn is below a second's bytes: with as many
	// bodies, each gets one in a second.
	shareOf = 64
	// minTurn and maxTurn bound a turn in bytes: below, the cost of a turn counts,
	// above, it is less than the copying.
	minTurn = 4 << 10
	maxTurn = 64 << 10
	// burstOf makes the bytes that may come at once, after a pause, those of 50 ms.
	burstOf = 20
)

// throttle holds bodies to Rates. They take turns of the same few bytes, in the order
// in which they come for them, so that a small file gets its share beside large ones.
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

// burstAt fits into an int of 32 bits.
func burstAt(r int64) int { return int(min(max(r/burstOf, int64(turnOf(r))), 1<<30)) }

func turnOf(r int64) int { return int(min(max(r/shareOf, minTurn), maxTurn)) }

// Limited reports whether bodies are limited by Rates now.
func (c *Client) Limited() bool { return c.rate.limited() }

// at returns the bucket that a Read at now is charged to, nil if there is no limit.
// Each change of the rate begins a full one: what was to be waited for by the old
// rate says nothing of the new one.
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
// context's cause. When the hour changes, it goes by the new rate.
func (t *throttle) wait(ctx context.Context, n int) error {
	for n > 0 {
		now := time.Now()
		bucket := t.at(now)
		if bucket == nil {
			return nil
		}
		part := min(n, bucket.Burst()) // of another rate's turn
		turn := bucket.ReserveN(now, part)
		for ready := now.Add(turn.DelayFrom(now)); now.Before(ready) && t.at(now) == bucket; now = time.Now() {
			if err := sleep(ctx, min(ready.Sub(now), untilNextHour(now))); err != nil {
				turn.Cancel()
				return err
			}
		}
		if t.at(now) == bucket {
			n -= part
		}
	}
	return nil
}

// turn is a body's part in a throttle.
type turn struct {
	*throttle              // nil without a limit
	taken     atomic.Int64 // bytes of it that are not waited for yet
}

// left is how many bytes, up to n, the next Read may return.
func (t *turn) left(n int) int {
	if !t.limited() {
		return n
	}
	size := turnOf(t.rates[time.Now().Hour()])
	return min(n, max(size-int(t.taken.Load()), 1))
}

// took waits, if n more bytes complete the turn or are the last, until they are
// within the rate, or returns the context's cause.
func (t *turn) took(ctx context.Context, n int, last bool) error {
	if t.throttle == nil {
		return nil
	}
	size := turnOf(t.rates[time.Now().Hour()])
	if taken := int(t.taken.Add(int64(n))); taken < size && !last {
		return nil
	}
	return t.wait(ctx, int(t.taken.Swap(0)))
}

// end charges what nobody waits for any more.
func (t *turn) end() {
	if t.throttle == nil {
		return
	}
	if bucket, n := t.at(time.Now()), int(t.taken.Swap(0)); bucket != nil {
		bucket.ReserveN(time.Now(), min(n, bucket.Burst()))
	}
}

// untilNextHour is how long the hour of the local clock lasts.
func untilNextHour(now time.Time) time.Duration {
	return time.Hour - time.Duration(now.Minute())*time.Minute - time.Duration(now.Second())*time.Second - time.Duration(now.Nanosecond())
}
