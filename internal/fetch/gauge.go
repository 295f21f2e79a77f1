package fetch

import (
	"io"
	"sync"
	"time"
)

// gauge measures what a source sends and how long it is waited for. Time that the
// disk takes says nothing about the source.
type gauge struct {
	mu     sync.Mutex // guards what follows
	since  time.Time  // since when it is waited for; zero while it is not
	got    int64      // bytes
	waited time.Duration
	silent time.Duration // of waited: since the last byte
}

// reading is what a gauge showed at one moment.
type reading struct {
	got            int64
	waited, silent time.Duration
}

func (g *gauge) read() reading {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := reading{g.got, g.waited, g.silent}
	if !g.since.IsZero() {
		now := time.Since(g.since)
		r.waited, r.silent = r.waited+now, r.silent+now
	}
	return r
}

// wait begins to wait for the source.
func (g *gauge) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.since = time.Now()
}

// stop ends the wait, in which n bytes came.
func (g *gauge) stop(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	took := time.Since(g.since)
	g.since, g.got, g.waited, g.silent = time.Time{}, g.got+int64(n), g.waited+took, g.silent+took
	if n > 0 {
		g.silent = 0
	}
}

// gauged is a stream with a gauge.
type gauged struct {
	io.ReadCloser
	gauge *gauge
	load  *load
	first time.Duration // until the first byte, as the gauge had waited then; -1 before
}

func (s *gauged) Read(b []byte) (int, error) {
	s.gauge.wait()
	n, err := s.ReadCloser.Read(b)
	s.gauge.stop(n)
	if n > 0 {
		if s.first < 0 {
			s.first = s.gauge.read().waited
		}
		s.load.bytes.Add(int64(n))
	}
	return n, err
}
