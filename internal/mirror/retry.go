package mirror

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	maxTries = 3
	// firstWait doubles with each try. Both together stay below a second, which
	// a user of apt does not notice.
	firstWait = 250 * time.Millisecond
	// maxWait is the longest Retry-After that is waited for here; apt's client
	// waits for it.
	maxWait = 3 * time.Second
	// maxRetryAfter bounds a mirror's Retry-After.
	maxRetryAfter = 24 * time.Hour
)

// backoff returns how long to wait after try failed with err, and whether to try
// again at all: only after a temporary failure that did not take long.
func backoff(err error, try int) (time.Duration, bool) {
	if try >= maxTries || errors.Is(err, errLeftAlone) || errors.Is(err, ErrSlow) || isUnverified(err) {
		return 0, false
	}
	// Half of it is random, so that boxes cut off together do not return
	// together.
	wait := firstWait << (try - 1)
	wait = wait/2 + rand.N(wait/2)
	var status *StatusError
	if errors.As(err, &status) {
		return max(wait, status.RetryAfter), isTemporary(status.Code) && status.RetryAfter <= maxWait
	}
	var away *UnreachableError
	var upstream *UpstreamError
	var dns *net.DNSError
	unanswered := errors.As(err, &away) || errors.As(err, &upstream) && upstream.Code == 0
	return wait, unanswered && !isTimeout(err) && !errors.As(err, &dns)
}

// isTemporary reports whether a status is about the moment, not about the file.
func isTemporary(code int) bool {
	switch code {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// parseRetryAfter reads seconds or an HTTP date (RFC 9110, section 10.2.3). It
// returns 0 for none, a malformed or a past one, and at most a day.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), maxRetryAfter)
}

// sleep waits for d, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
