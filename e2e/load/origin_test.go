package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"millpond/internal/aptest"
)

// origin serves a mirror's files to one box, apart from those that other boxes ask, and
// knows of which answers that box has read every byte: net/http uses a connection again
// only then.
type origin struct {
	mirror *aptest.Mirror
	addr   string

	mu       sync.Mutex // guards all below
	server   *http.Server
	requests int
	sent     int64          // body bytes given to the kernel
	read     int64          // those of answers of which all was read
	open     map[*line]bool // whether it is idle
}

// line is a connection. Its requests come one after another.
type line struct {
	last int64 // bytes of the last answer
}

type lineKey struct{}

func newOrigin(t *testing.T, m *aptest.Mirror) *origin {
	t.Helper()
	o := &origin{mirror: m, addr: "127.0.0.1:0", open: make(map[*line]bool)}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.down)
	return o
}

// up takes connections, as at the beginning and after down.
func (o *origin) up() error {
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("starting a mirror: %w", err)
	}
	lines := sync.Map{}
	server := &http.Server{
		Handler: o,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			at, _ := lines.LoadOrStore(c, new(line))
			return context.WithValue(ctx, lineKey{}, at)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			at, _ := lines.LoadOrStore(c, new(line))
			o.mu.Lock()
			defer o.mu.Unlock()
			if state == http.StateClosed || state == http.StateHijacked {
				delete(o.open, at.(*line))
				lines.Delete(c)
				return
			}
			o.open[at.(*line)] = state == http.StateIdle
		},
	}
	o.mu.Lock()
	o.addr, o.server = l.Addr().String(), server
	o.mu.Unlock()
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return nil
}

// down closes the port and all connections.
func (o *origin) down() {
	o.mu.Lock()
	server := o.server
	o.mu.Unlock()
	_ = server.Close() // of a listener that is closed already, at the end
}

// ServeHTTP implements http.Handler.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.Context().Value(lineKey{}).(*line)
	o.mu.Lock()
	o.requests++
	o.read += at.last
	at.last = 0
	o.mu.Unlock()
	o.mirror.ServeHTTP(&counted{w, r.Method == http.MethodHead, func(n int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sent += int64(n)
		at.last += int64(n)
	}}, r)
}

// figures returns the body bytes that the box has surely read, and those that were sent.
// Once the box has no download any more, it has also read what came last on the
// connections that it keeps.
func (o *origin) figures() (read, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	read = o.read
	for at, idle := range o.open {
		if idle {
			read += at.last
		}
	}
	return read, o.sent
}

// counted counts the body bytes of an answer.
type counted struct {
	http.ResponseWriter
	head  bool // it has no body, whatever is written
	count func(n int)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	if !c.head {
		c.count(n)
	}
	return n, err
}

// asked returns how many requests came.
func (o *origin) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}
