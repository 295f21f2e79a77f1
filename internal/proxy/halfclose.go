package proxy

import (
	"io"
	"os"
	"sync"
	"time"
)

// halfTime is how long a client that sends nothing more may wait for its answer.
// Most such clients have left, which shows only when something is written; their
// download would go on as long.
const halfTime = 30 * time.Second

// halfClose keeps net/http from taking the end of what a client sends for the end
// of the client, while it waits for an answer: net/http reads one byte then, and
// ends that read by a deadline in the past when the answer is complete.
type halfClose struct {
	mu    sync.Mutex
	over  bool          // a deadline is past, or the connection closed; guarded by mu
	ended chan struct{} // closed when over; nil while nobody waits; guarded by mu
}

// wait returns when the answer is complete, with an error that net/http expects
// then, or when the client has waited long enough.
func (h *halfClose) wait() error {
	timer := time.NewTimer(halfTime)
	defer timer.Stop()
	return h.waitUntil(timer.C)
}

// waitUntil is wait with io.EOF when enough fires.
func (h *halfClose) waitUntil(enough <-chan time.Time) error {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return os.ErrDeadlineExceeded
	}
	if h.ended == nil {
		h.ended = make(chan struct{})
	}
	ended := h.ended
	h.mu.Unlock()
	select {
	case <-ended:
		return os.ErrDeadlineExceeded
	case <-enough:
		return io.EOF
	}
}

// end lets wait return.
func (h *halfClose) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.ended != nil {
		close(h.ended)
		h.ended = nil
	}
}

func (h *halfClose) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = false
}

// SetReadDeadline implements net.Conn.
func (c *pipelineConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.half.end()
	} else {
		c.half.begin()
	}
	return c.TCPConn.SetReadDeadline(t)
}
