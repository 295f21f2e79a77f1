package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// A box answers from memory: the header is due in a few round trips, and
	// the rest is for a box whose cores are busy. One that shall fetch has to
	// ask others first.
	leastHeaderTimeout = 500 * time.Millisecond
	fetchHeaderTimeout = 3 * time.Second
	headerRTTs         = 4

	// stallTimeout is how long a body may bring nothing; of a box that fetches,
	// fetchStallTimeout for the first byte.
	stallTimeout      = 4 * time.Second
	fetchStallTimeout = 10 * time.Second

	smallTimeout = 10 * time.Second // for a manifest or pieces as a whole
)

var errNoHeader = fmt.Errorf("%w: no answer in time", peer.ErrStalled)

// lie is an answer that no honest box gives.
type lie struct{ what string }

func (e *lie) Error() string { return "false answer: " + e.what }

// unknownRTT stands for the round trip to a peer that was not measured.
const unknownRTT = 50 * time.Millisecond

// headerTimeout for a box with the round trip rtt, 0 when it is not known.
func headerTimeout(rtt time.Duration, fetch bool) time.Duration {
	if rtt == 0 {
		rtt = unknownRTT
	}
	if fetch {
		return fetchHeaderTimeout + headerRTTs*rtt
	}
	return leastHeaderTimeout + headerRTTs*rtt
}

// ask sends a request and returns what answers with 200 or 206. done must be
// called when its body is no longer read; it resets the stream unless the body
// was read to its end.
func (t *transfers) ask(ctx context.Context, id p2p.ID, path string, d digest.Digest, header http.Header, timer *watchdog) (*http.Response, error) {
	r := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: id.String(), Path: path + d.String()},
		Header: header,
	}).WithContext(ctx)
	answer, err := t.client.RoundTrip(r)
	timer.stop()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusPartialContent {
		return answer, nil
	}
	io.CopyN(io.Discard, answer.Body, maxHeader) // to its end, and the stream serves again
	answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	case http.StatusTooManyRequests:
		return nil, peer.ErrBusy
	}
	return nil, fmt.Errorf("the box answered %d", answer.StatusCode)
}

// open asks id for bytes of d.
func (t *transfers) open(ctx context.Context, id p2p.ID, d digest.Digest, r peer.Request) (*peer.Stream, error) {
	header := make(http.Header)
	if r.Off > 0 || r.N > 0 {
		header.Set("Range", byteRange(r))
	}
	stall := stallTimeout
	if r.Fetch {
		header.Set(fetchHeader, "1")
		stall = fetchStallTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := t.watch(id, cancel)
	timer.start(headerTimeout(t.swarm.rtts.of(id), r.Fetch), errNoHeader)
	answer, err := t.ask(ctx, id, "/blob/", d, header, timer)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &body{ctx: ctx, watchdog: timer, stall: stall, answer: answer.Body, left: answer.ContentLength,
		took: func(n int64) { t.took(id, n) },
		lied: func(what string) { t.swarm.fault(id, peer.Lied, what) }}
	a := &peer.Stream{ReadCloser: b, Size: answer.ContentLength}
	if answer.StatusCode == http.StatusPartialContent {
		if a.Off, b.left, a.Size, err = partial(answer, r); err != nil {
			b.Close()
			return nil, err
		}
	}
	return a, nil
}

func byteRange(r peer.Request) string {
	if r.N == 0 {
		return fmt.Sprintf("bytes=%d-", r.Off)
	}
	return fmt.Sprintf("bytes=%d-%d", r.Off, r.Off+r.N-1)
}

// partial reads what a 206 is about. It is a lie if that is not what r asked
// for.
func partial(answer *http.Response, r peer.Request) (off, n, size int64, err error) {
	text := answer.Header.Get("Content-Range")
	var end int64
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &off, &end, &size); err != nil {
		size = -1
		if !strings.HasSuffix(text, "/*") {
			return 0, 0, 0, &lie{fmt.Sprintf("Content-Range %.80q", text)}
		}
		if _, err := fmt.Sscanf(text, "bytes %d-%d/*", &off, &end); err != nil {
			return 0, 0, 0, &lie{fmt.Sprintf("Content-Range %.80q", text)}
		}
	}
	n = end - off + 1
	switch {
	case off != r.Off, n <= 0, r.N > 0 && n > r.N, size >= 0 && end >= size:
		return 0, 0, 0, &lie{fmt.Sprintf("asked for %s, got %.80q", byteRange(r), text)}
	case answer.ContentLength >= 0 && answer.ContentLength != n:
		return 0, 0, 0, &lie{fmt.Sprintf("%d bytes for %.80q", answer.ContentLength, text)}
	}
	return off, n, size, nil
}

// body is an answer's, watched and counted. It is read by one goroutine.
type body struct {
	*watchdog
	ctx    context.Context // the request's, which the watchdog ends
	answer io.ReadCloser
	stall  time.Duration // until the next byte
	left   int64         // to the announced end; negative: none was announced
	took   func(int64)
	lied   func(string)
}

// Read returns io.EOF at the announced end only, and io.ErrUnexpectedEOF
// before it.
func (b *body) Read(p []byte) (int, error) {
	b.start(b.stall, peer.ErrStalled)
	n, err := b.answer.Read(p)
	b.watchdog.stop()
	if n > 0 {
		b.stall = stallTimeout
		b.took(int64(n))
	}
	if b.left >= 0 {
		if int64(n) > b.left {
			n = int(b.left)
			err = &lie{"a body longer than announced"}
			b.lied(err.Error())
		} else if err == io.EOF && int64(n) < b.left {
			err = io.ErrUnexpectedEOF
		}
		b.left -= int64(n)
	}
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Close resets the stream if the body is not read to its end.
func (b *body) Close() error {
	b.cancel(nil)
	return b.answer.Close()
}

// watchdog ends a request that takes too long, and has the box pinged.
type watchdog struct {
	cancel context.CancelCauseFunc
	doubt  func()
	timer  *time.Timer
}

func (t *transfers) watch(id p2p.ID, cancel context.CancelCauseFunc) *watchdog {
	return &watchdog{cancel: cancel, doubt: func() { t.swarm.rtts.doubt(id) }}
}

func (w *watchdog) start(limit time.Duration, why error) {
	w.timer = time.AfterFunc(limit, func() {
		w.doubt()
		w.cancel(fmt.Errorf("%w: %s passed", why, limit))
	})
}

func (w *watchdog) stop() { w.timer.Stop() }

// small asks for an answer that is read at once.
func small[T any](ctx context.Context, t *transfers, id p2p.ID, path string, d digest.Digest, read func(io.Reader) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	whole := t.watch(id, cancel)
	whole.start(smallTimeout, peer.ErrStalled)
	defer whole.stop()
	header := t.watch(id, cancel)
	header.start(headerTimeout(t.swarm.rtts.of(id), false), errNoHeader)
	answer, err := t.ask(ctx, id, path, d, make(http.Header), header)
	if err != nil {
		return none, err
	}
	defer answer.Body.Close()
	got, err := read(answer.Body)
	if errors.Is(err, errAnswer) {
		return none, &lie{err.Error()}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return none, err
	}
	return got, nil
}
