package blobproto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// A peer answers from memory, so its header is due within headerRTTs round
	// trips; minHeaderTimeout allows for a busy processor, until answers has measured
	// it, and fetchHeaderTimeout for a peer that must ask others before it fetches.
	minHeaderTimeout   = 500 * time.Millisecond
	fetchHeaderTimeout = 3 * time.Second
	headerRTTs         = 4
	unknownRTT         = 50 * time.Millisecond // assumed until measured

	// Without a Pace, at least one byte must arrive every stallTimeout; if the
	// peer fetches, the first within fetchStallTimeout.
	stallTimeout      = 4 * time.Second
	fetchStallTimeout = 10 * time.Second

	smallTimeout = 10 * time.Second // for a manifest or pieces as a whole

	// A peer's streams are pooled. libp2p's own limit for one protocol and
	// peer is 64.
	maxStreams     = 48
	maxIdleStreams = 8
	idleClient     = 90 * time.Second
)

var (
	errNoHeader = fmt.Errorf("%w: no answer in time", peer.ErrStalled)
	errHalf     = fmt.Errorf("%w: no whole answer in %s", peer.ErrStalled, smallTimeout)
)

// ClientOptions are what a Client needs of the network. All are called with the
// text form of a peer ID.
type ClientOptions struct {
	// Dial opens a stream to id.
	Dial func(ctx context.Context, id string) (Stream, error)
	// RTT is the round trip to id; 0 if it is not known.
	RTT func(id string) time.Duration
	// Stalled is called when id did not answer a request in time.
	Stalled func(id string)
	// Lag is how late this process is (lag.Meter); nil: never.
	Lag func() time.Duration
	// Lied is called for an answer that no honest box gives.
	Lied func(id, what string)
	// Taken counts body bytes as they arrive.
	Taken func(id string, n int64)
}

// Stream is a stream to a peer.
type Stream interface {
	net.Conn
	Reset() error
}

// Client requests blobs from peers. It is safe for concurrent use.
type Client struct {
	options   ClientOptions
	transport *http.Transport
	answers   answers
}

// NewClient returns a Client without connections.
func NewClient(o ClientOptions) *Client {
	if o.Lag == nil {
		o.Lag = func() time.Duration { return 0 }
	}
	c := &Client{options: o, answers: answers{peers: make(map[string]*answerer)}}
	c.transport = &http.Transport{
		DialContext:            c.dial,
		DisableCompression:     true,
		MaxConnsPerHost:        maxStreams,
		MaxIdleConnsPerHost:    maxIdleStreams,
		IdleConnTimeout:        idleClient,
		MaxResponseHeaderBytes: maxHeader,
	}
	return c
}

// CloseIdle closes the streams that no request uses.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// dial opens a stream for the pool.
func (c *Client) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	id, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	s, err := c.options.Dial(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	return conn{s}, nil
}

// conn is a stream for net/http. Its Close resets the stream, so that the other
// side stops writing when a request is cancelled in the middle of a body. After a
// complete answer a reset loses nothing.
type conn struct{ Stream }

func (c conn) Close() error { return c.Reset() }

// watch returns a watchdog for a request to id.
func (c *Client) watch(id string, cancel context.CancelCauseFunc) *watchdog {
	return &watchdog{id: id, cancel: cancel, stalled: func() { c.options.Stalled(id) }, lag: c.options.Lag}
}

// watchHeader returns a watchdog that waits for the header of id's answer.
func (c *Client) watchHeader(id string, fetch bool, cancel context.CancelCauseFunc) *watchdog {
	w := c.watch(id, cancel)
	rtt := c.options.RTT(id)
	if rtt == 0 {
		rtt = unknownRTT
	}
	limit := fetchHeaderTimeout + headerRTTs*rtt
	if !fetch {
		allowed := c.answers.allowed(id, minHeaderTimeout+headerRTTs*rtt)
		w.stalled = func() {
			c.answers.missed(id, allowed)
			c.options.Stalled(id)
		}
		limit = max(allowed, min(allowed+c.options.Lag(), maxAnswerTime))
	}
	w.start(limit, limit, errNoHeader)
	return w
}

// ask sends a request and returns an answer of status 200 or 206. The body must
// be closed; that resets the stream unless it was read to its end.
func (c *Client) ask(ctx context.Context, id, path string, d digest.Digest, header http.Header, timer *watchdog) (*http.Response, error) {
	r := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: id, Path: path + d.String()},
		Header: header,
	}).WithContext(ctx)
	begun := time.Now()
	answer, err := c.transport.RoundTrip(r)
	timer.stop()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if header.Get(fetchHeader) == "" {
		c.answers.took(id, time.Since(begun))
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
	return nil, fmt.Errorf("the peer answered with status %d", answer.StatusCode)
}

// Open requests bytes of d from id; errors are as for peer.Peer.
func (c *Client) Open(ctx context.Context, id string, d digest.Digest, r peer.Request) (*peer.Stream, error) {
	header := make(http.Header)
	if r.Off > 0 || r.N > 0 {
		header.Set("Range", byteRange(r))
	}
	if r.Fetch != peer.NoFetch {
		header.Set(fetchHeader, strconv.Itoa(int(r.Fetch)))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	answer, err := c.ask(ctx, id, "/blob/", d, header, c.watchHeader(id, r.Fetch != peer.NoFetch, cancel)) //nolint:bodyclose // body closes it
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &body{ctx: ctx, watchdog: c.watch(id, cancel), pace: newPacer(r), answer: answer.Body, left: answer.ContentLength,
		took: func(n int64) { c.options.Taken(id, n) },
		lied: func(what string) { c.options.Lied(id, what) }}
	s := &peer.Stream{ReadCloser: b, Size: answer.ContentLength}
	if answer.StatusCode == http.StatusPartialContent {
		if s.Off, b.left, s.Size, err = partial(answer, r); err != nil {
			b.Close()
			return nil, c.lie(id, err)
		}
	}
	return s, nil
}

// lie reports err, which says how id lied.
func (c *Client) lie(id string, err error) error {
	err = fmt.Errorf("false answer: %w", err)
	c.options.Lied(id, err.Error())
	return err
}

func byteRange(r peer.Request) string {
	if r.N == 0 {
		return fmt.Sprintf("bytes=%d-", r.Off)
	}
	return fmt.Sprintf("bytes=%d-%d", r.Off, r.Off+r.N-1)
}

// partial reads which range a 206 contains. An error means that r did not ask
// for it.
func partial(answer *http.Response, r peer.Request) (off, n, size int64, err error) {
	text := answer.Header.Get("Content-Range")
	var end int64
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &off, &end, &size); err != nil {
		size = -1
		if !strings.HasSuffix(text, "/*") {
			return 0, 0, 0, fmt.Errorf("Content-Range %.80q", text)
		}
		if _, err := fmt.Sscanf(text, "bytes %d-%d/*", &off, &end); err != nil {
			return 0, 0, 0, fmt.Errorf("Content-Range %.80q", text)
		}
	}
	n = end - off + 1
	switch {
	case off != r.Off, n <= 0, r.N > 0 && n > r.N, size >= 0 && end >= size:
		return 0, 0, 0, fmt.Errorf("asked for %s, got %.80q", byteRange(r), text)
	case answer.ContentLength >= 0 && answer.ContentLength != n:
		return 0, 0, 0, fmt.Errorf("%d bytes for %.80q", answer.ContentLength, text)
	}
	return off, n, size, nil
}

// Manifest returns the digests of d's pieces as id states them.
func (c *Client) Manifest(ctx context.Context, id string, d digest.Digest) ([]digest.Digest, error) {
	var pieces []digest.Digest
	err := c.small(ctx, id, "/manifest/", d, func(r io.Reader) (err error) {
		pieces, err = readManifest(r)
		return err
	})
	return pieces, err
}

// Pieces returns which pieces of d, which id is downloading, it has, and the
// size of the whole file in bytes.
func (c *Client) Pieces(ctx context.Context, id string, d digest.Digest) (size int64, have peer.Bitfield, err error) {
	err = c.small(ctx, id, "/pieces/", d, func(r io.Reader) (err error) {
		size, have, err = readPieces(r)
		return err
	})
	return size, have, err
}

// small requests a short answer and reads all of it.
func (c *Client) small(ctx context.Context, id, path string, d digest.Digest, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	whole := c.watch(id, cancel)
	whole.start(smallTimeout, smallTimeout, errHalf)
	defer whole.stop()
	answer, err := c.ask(ctx, id, path, d, make(http.Header), c.watchHeader(id, false, cancel))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	err = read(answer.Body)
	switch {
	case errors.Is(err, errAnswer):
		return c.lie(id, err)
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}
