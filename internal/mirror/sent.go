package mirror

import (
	"context"
	"net/http"
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

// report tells Options.Answered of a request that was sent that often, and of which
// resp is the answer, nil if there is none.
func (c *Client) report(f File, sent *atomic.Int64, resp *http.Response) {
	n := sent.Load()
	if resp != nil {
		n--
		c.answered(f, resp.StatusCode)
	}
	for range n {
		c.answered(f, NoAnswer)
	}
}
