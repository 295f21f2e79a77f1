package mirror

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// countSent returns a context for a request, and how often it has been sent by
// now. That may be twice: net/http sends it again on another connection where one
// that was idle turns out to be closed, and so does race by the other family.
func countSent(ctx context.Context) (context.Context, *atomic.Int64) {
	sent := new(atomic.Int64)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Add(1) }}), sent
}

// report tells Options.Answered of a request that was sent that often, and of the
// status of its one answer, NoAnswer if there is none.
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
