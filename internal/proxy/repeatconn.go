package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/proxy/plain"
)

// renewEvery is how often the deadline of an idle connection is moved that gets repeated
// answers. It is less than a hundredth of what it moves.
const renewEvery = time.Second

// minRequest is how much of a further request net/http waits for before it reads that.
const minRequest = 4

// lateShare is which part of the stall limit passes before the write deadline is moved
// again: a busy connection waits many times a second, and each move costs as much as a
// call of the kernel.
const lateShare = 100

// repeater repeats answers on a connection, while net/http waits for its next request. It
// is used by the goroutine of net/http alone.
type repeater struct {
	conn    *pipelineConn
	ctx     context.Context // with what is remembered of the connection
	local   netip.AddrPort
	client  netip.Addr
	place   *front.Place // nil without one
	request http.Request // as far as what follows an answer looks at it
	w       response     // of the answer under way
	answer  *repeat      // likewise
	about   ledger.File
	kernel  kernel
	header  []byte
	step    func(socket uintptr) bool

	renewed time.Time // when the read deadline was set
	late    time.Time // when the write deadline was set; zero without one
	second  int64     // Unix time that date is of
	date    []byte
}

func (c *pipelineConn) newRepeater() *repeater {
	r := &repeater{conn: c}
	r.ctx = context.WithValue(context.Background(), connectionKey{}, &c.memory)
	if tcp, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		r.local = tcp
	}
	r.request = http.Request{Method: http.MethodGet, RemoteAddr: c.RemoteAddr().String(), ProtoMajor: 1, ProtoMinor: 1}
	r.client = front.ClientOf(&r.request)
	r.place = front.PlaceOf(c)
	r.w.credit = r.credit
	r.kernel.begun = r.progress
	r.kernel.passed = func(n int64) {
		r.progress()
		r.w.count(n, nil)
	}
	r.kernel.wait = func() {
		now := time.Now()
		if now.Sub(r.late) >= c.proxy.stall/lateShare {
			r.late = now
			_ = c.TCPConn.SetWriteDeadline(now.Add(c.proxy.stall)) // an error comes back from the next write
		}
	}
	r.step = func(socket uintptr) bool { return r.kernel.next(socket, r.answer.fd, r.answer.body) }
	return r
}

// progress notes that the client was sent something.
func (r *repeater) progress() {
	if r.w.outcome.first.IsZero() {
		r.w.outcome.first = time.Now()
	}
	if r.place != nil {
		r.place.Progress()
	}
}

// credit is what archive's does, of a held file.
func (r *repeater) credit(n int64) {
	r.w.outcome.note(ledger.FromStore)
	r.conn.proxy.ledger.Delivered(r.client, r.about, ledger.FromStore, n)
}

// isBetween reports whether all requests that net/http was given are answered, and nothing
// of another one has come.
func (c *pipelineConn) isBetween() bool {
	return c.canRepeat() && c.scanner.isAtStart() && c.scanner.ended == c.answered
}

func (c *pipelineConn) canRepeat() bool {
	return c.memory.raw != nil && c.proxy.repeats.limit > 0 && !c.proxy.repeats.off.Load()
}

// isLast reports whether net/http answers the only request that it was given. A byte that
// comes meanwhile is kept from it, or the next request would be net/http's, too.
func (c *pipelineConn) isLast() bool {
	return c.canRepeat() && c.scanner.isAtStart() && c.scanner.ended == c.answered+1
}

// readBetween is Read between two requests: it answers plain ones for as long as their
// answers can be repeated, and returns when there is something for net/http.
func (c *pipelineConn) readBetween(b []byte) (int, error) {
	if c.repeater != nil {
		c.repeater.late = time.Time{} // net/http has cleared it
	}
	for {
		early := copy(b, c.kept)
		c.kept = c.kept[:0]
		n, err := c.TCPConn.Read(b[early:])
		n += early
		used := 0
		for used < n {
			size, open := c.repeat(b[used:n])
			if !open {
				return 0, io.EOF
			}
			if size == 0 {
				break
			}
			used += size
		}
		now := time.Now()
		c.repeated = c.repeated || used > 0
		if left := n - used; c.repeated && 0 < left && left < minRequest {
			// net/http says nothing about so few bytes behind an answer, but would before one.
			if err != nil {
				return 0, err
			}
			c.kept = append(c.kept[:0], b[used:n]...)
			used = n
		}
		if used < n || err != nil {
			if used > 0 {
				copy(b, b[used:n])
				c.repeater.renewed = time.Time{}
				_ = c.TCPConn.SetReadDeadline(now.Add(headerTimeout)) // an error comes back from the next read
			}
			c.scanner.scan(b[:n-used], c.enqueue)
			return n - used, err
		}
		if now.Sub(c.repeater.renewed) >= renewEvery {
			c.repeater.renewed = now
			_ = c.TCPConn.SetReadDeadline(now.Add(idleTimeout)) // likewise
		}
	}
}

// repeat answers the request that b begins with, if that is a plain one with an answer to
// be repeated, and returns the size of the request, or 0. The connection is not open any
// more if the answer could not be sent.
func (c *pipelineConn) repeat(b []byte) (size int, open bool) {
	request, size, ok := plain.Parse(b)
	if !ok {
		return 0, true
	}
	if c.repeater == nil {
		c.repeater = c.newRepeater()
	}
	p, begun := c.proxy, time.Now()
	a := p.repeats.take(c.repeater.local, request, p.catalog.Revision(), begun)
	if a == nil {
		return 0, true
	}
	defer p.repeats.put(a)
	if !c.repeater.send(a, begun, &open) {
		return 0, true
	}
	return size, open
}

// send answers with a, and sets open to whether the connection is, or returns false if
// net/http is to answer.
func (r *repeater) send(a *repeat, begun time.Time, open *bool) bool {
	c, p := r.conn, r.conn.proxy
	if !p.allowClients.Admit(r.client) || p.viewOf(a.target, r.client) != (view{}) {
		return false
	}
	e, ok := p.repeats.entryFor(a, func(suite catalog.Location) digest.Digest { return p.generationIn(r.ctx, view{}, r.client, suite) })
	if !ok {
		return false
	}
	party := front.PartyOf(r.client)
	age, ok := r.reuse(a, fetch.Request{Entry: e, Party: party})
	if !ok {
		return false
	}
	defer p.fetcher.Reused(a.about.Digest)
	if !c.beginAnswer() {
		*open = false
		return true
	}
	if r.place != nil {
		r.place.Use(party)
	}
	p.underWay.Add(1)
	r.about = aboutFile(e)
	p.ledger.Request(r.client, r.about)
	if a.body > 0 {
		p.serving.Add(1)
	} else {
		p.given(r.ctx, view{}, r.client, a.about.Suite, a.about.Release)
	}
	whole := r.write(a, e, age, begun)
	*open = p.after(&r.w, &r.request, a.target, e, a.about, sent{client: r.client, held: a.body > 0, has: a.about.Release, whole: whole, begun: begun})
	p.record(&r.w, &r.request, begun)
	if a.body > 0 {
		p.serving.Add(-1)
	}
	p.underWay.Add(-1)
	if r.place != nil {
		r.place.Rest()
	}
	*open = c.endAnswer() && *open
	return true
}

// reuse reports whether fetch would give the same once more, and how old that is. Of a
// Release it also counts the answer, so that its file has to be there before.
func (r *repeater) reuse(a *repeat, q fetch.Request) (age time.Duration, ok bool) {
	p := r.conn.proxy
	release := q.Kind == catalog.ReleaseFile
	if release && r.isIntact(a) {
		return p.fetcher.Unchanged(q, a.about)
	}
	if q.Again = p.receipts.has(q.Party, q.Entry); release || !p.fetcher.Reuse(q) {
		return 0, false
	}
	if !r.isIntact(a) {
		p.fetcher.Reused(q.Digest)
		return 0, false
	}
	return 0, true
}

// isIntact reports whether the file of an answer is there, and drops the answer if not.
func (r *repeater) isIntact(a *repeat) bool {
	ok := r.kernel.intact(a)
	if !ok {
		r.conn.proxy.repeats.forget(a)
	}
	return ok
}

// write sends header and file, and reports whether all was sent.
func (r *repeater) write(a *repeat, e catalog.Entry, age time.Duration, begun time.Time) (whole bool) {
	r.w = response{stall: r.conn.proxy.stall, status: a.status, credit: r.w.credit}
	r.w.outcome.what, r.w.outcome.file = wasHit, e.Location
	r.header = append(r.header[:0], a.header...)
	if a.ageAt >= 0 {
		r.header = append(r.header[:a.ageAt], "Age: "...)
		r.header = append(strconv.AppendInt(r.header, int64(age/time.Second), 10), "\r\n"...)
		r.header = append(r.header, a.header[a.ageAt:]...)
	}
	if second := begun.Unix(); second != r.second {
		r.second, r.date = second, append(begun.UTC().AppendFormat(append(r.date[:0], "Date: "...), http.TimeFormat), "\r\n\r\n"...)
	}
	r.header = append(r.header, r.date...)
	r.header = append(r.header, a.inline...)
	r.kernel.head, r.kernel.body, r.kernel.off, r.kernel.err = r.header, len(a.inline), 0, nil
	r.answer = a
	if !r.late.IsZero() && begun.Sub(r.late) >= r.w.stall/lateShare {
		r.late = time.Time{}
		_ = r.conn.TCPConn.SetWriteDeadline(time.Time{})
	}
	err := r.conn.memory.raw.Write(r.step)
	if err == nil {
		err = r.kernel.err
	}
	r.answer = nil
	r.w.err = err
	return err == nil
}

// connState counts the requests that net/http has answered, beside what front does.
func (p *Proxy) connState(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*pipelineConn); ok && state == http.StateIdle {
		c.answered++
	}
	front.ConnState(conn, state)
}

// beginAnswer notes that an answer is under way, unless the connection is closed. net/http
// takes it for idle and closes it on the way down; Close waits for the answer then.
func (c *pipelineConn) beginAnswer() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answering = !c.closed
	return c.answering
}

// endAnswer reports whether the connection is to stay open.
func (c *pipelineConn) endAnswer() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answering = false
	return !c.leaving
}

// leave puts off a Close, if an answer is under way.
func (c *pipelineConn) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answering {
		return false
	}
	c.leaving = true
	s := c.proxy.repeats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving[c] = struct{}{}
	return true
}

// hasLeft is told of each Close that was not put off.
func (c *pipelineConn) hasLeft() {
	c.mu.Lock()
	left := c.leaving
	c.mu.Unlock()
	if !left {
		return
	}
	s := c.proxy.repeats
	s.mu.Lock()
	delete(s.leaving, c)
	s.mu.Unlock()
	s.left.Fire()
}
