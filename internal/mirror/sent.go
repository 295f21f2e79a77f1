package mirror

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// countSent returns a context for a request, and a count of how often the request
// has been sent. That may be twice: net/http sends it again on another connection
// where one that was idle turns out to be closed, and race sends it by IPv4 too.
func countSent(ctx context.Context) (context.Context, *atomic.Int64) {
	sent := new(atomic.Int64)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Add(1) }}), sent
}

// report tells Options.Answered about a request that was sent so often, and the
// status of its only answer, NoAnswer if there is none.
func (c *Client) report(f File, sent *atomic.Int64, status int) {
	n := sent.Load()
	if status != NoAnswer {
		n--
		c.answered(f, status)
	}
	for range n {
		c.answered(f, NoAnswer)
	}
}
