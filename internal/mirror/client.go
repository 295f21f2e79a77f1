// Package mirror fetches from upstream archives over HTTP. It stands on net/http
// and knows neither peers nor what the files are.
//
// A Client promises:
//   - a login goes to the host that it is for and to no other, redirects included;
//   - no destination is dialled that the Policy forbids, whatever a name resolves
//     to, in redirects and tunnels too, and none at all offline; behind an upstream
//     proxy, the name decides, and nothing but the proxy is dialled;
//   - no file is asked for outside of the archives that the Policy is restricted
//     to; an archive's redirects may lead elsewhere;
//   - a Body is a part of the file that begins where Response.Offset says, as its
//     bytes are at the mirror, and ends with an error if it is cut short;
//   - every body byte is metered once, those of error answers and redirects too;
//   - a host that redirects http to https for the same file is asked by https at once,
//     for a day, and by http again where that fails;
//   - files of an archive that has mirrors (Mirrors) are requested there, and
//     nothing above knows them by another name than the archive's;
//   - requests for one party (For) do not keep another one's from a mirror: when all
//     connections to a host are taken, the party with the most gives one up; some are
//     for small requests alone, and there are more while those that are open are slow;
//   - a request to a mirror that sends nothing is ended (connect, header and stall
//     limits), one to a slow but steady mirror never is, and a mirror that cannot
//     be connected to, or leaves one file after the other unanswered, gets no
//     request for a while.
package mirror

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"sync/atomic"
	"time"
)

// Defaults of Options. apt gives up after 60 s without a header, 30 s for each of
// two requests, and after 30 s without a byte in the middle of a body (measured
// with apt 2.6.2).
const (
	// defaultConnectTimeout leaves room for three lost SYNs, sent again after
	// 1, 3 and 7 s.
	defaultConnectTimeout = 10 * time.Second
	// defaultHeaderTimeout is for servers that fetch or make a file before they
	// send its first byte, pull-through repositories and snapshot archives, which
	// takes up to 90 s. People set apt's limit to 120 s for them; with less, apt
	// leaves and asks again, and the download goes on meanwhile.
	defaultHeaderTimeout = 120 * time.Second
	// defaultStallTimeout leaves two thirds of apt's limit to go on elsewhere.
	defaultStallTimeout = 10 * time.Second
	// defaultDownFor makes an update of a hundred files from a dead mirror wait
	// about once, and notices a restarted one soon.
	defaultDownFor = 10 * time.Second
)

// Patience is how long a client that could have something else, a held copy or
// another mirror's answer, waits for a mirror's header. apt waits 30 s, and asks
// once more (measured with apt 2.6.2); mirrors that fetch nothing first take less.
const Patience = 20 * time.Second

// Limits of the connections.
const (
	// maxIdleConnsPerHost is as many as are used where none is slow. A request beyond
	// those that there are places for (turns) waits, as long as its context lasts,
	// unless it is for a party that has fewer than another one (For), which gives way.
	maxIdleConnsPerHost = 16
	maxIdleConns        = 64
	// idleTimeout is below what NATs and firewalls keep silent connections
	// for; a request on one they dropped would wait for the header timeout.
	idleTimeout = 30 * time.Second
	// pingAfter and pingTimeout find a dead HTTP/2 connection within the stall
	// limit, so that a resume does not get the same one.
	pingAfter   = 5 * time.Second
	pingTimeout = 4 * time.Second
	// maxHeader is many times what archives send, in bytes.
	maxHeader    = 64 << 10
	maxRedirects = 10
)

// Options are choices for the life of a Client. Zero values take the defaults.
type Options struct {
	Policy  *Policy // nil allows public addresses at ports 80 and 443
	Offline bool
	// Meter, if not nil, is called with each number of body bytes read, what they are
	// about, and of which answer they are. What the kernel had received of a body that
	// was closed early is not seen here.
	Meter func(f File, of Answer, n int64)
	// Answered, if not nil, is called once for each request sent to a host, repeated
	// ones and those that a redirect leads to included, with the status of its
	// answer, or NoAnswer, also for an answer that an upstream proxy made itself.
	// Nothing is sent to a host that cannot be connected to. Several mirrors of an
	// archive are told apart: the load is theirs.
	Answered func(f File, status int)
	Rates    Rates        // limit all bodies together, not tunnels
	Log      *slog.Logger // nil logs nothing
	// Logins are those that the box has itself (LoginFor).
	Logins Logins
	// Mirrors says where the files of archives are requested instead.
	Mirrors Mirrors
	// Resolver resolves the names of mirrors.
	Resolver Resolver
	// Self, if not nil, reports whether this box listens at an address, which is none of
	// a mirror then. It does not block.
	Self func(at netip.AddrPort) bool

	UserAgent string // "millpond" if empty
	// Via, if not empty, names this box (RFC 9110, section 7.6.3: a pseudonym
	// such as millpond-1f3a) in a header "Via: 1.1 <name>", by which a box that
	// is its own upstream notices.
	Via string

	ConnectTimeout time.Duration // for resolving and connecting, and again for TLS
	HeaderTimeout  time.Duration // from the request to the end of the answer's header, and from there to the first byte
	StallTimeout   time.Duration // without another byte while a body is being read
	DownFor        time.Duration // how long an unreachable host is not tried again
}

// Client sends requests to mirrors. Its methods may be called concurrently.
type Client struct {
	policy         *Policy
	offline        bool
	meter          func(f File, of Answer, n int64)
	answered       func(f File, status int)
	rate           *throttle // nil without a limit
	log            *slog.Logger
	headers        http.Header // of every request
	logins         Logins
	mirrors        Mirrors
	connectTimeout time.Duration
	headerTimeout  time.Duration
	stallTimeout   time.Duration
	resolver       *net.Resolver // nil is the system's
	names          *names        // in place of resolver for mirrors; nil without MILLPOND_RESOLVER
	self           func(netip.AddrPort) bool
	https          secured // hosts that are asked by https
	down           down
	later          later
	turns          turns
	health         health
	received       atomic.Int64 // body bytes of all hosts
	silent6        silent6
	proxyDown      down        // of the upstream proxy
	proxyTLS       *tls.Config // for an upstream proxy by https; nil is the system's

	pool    atomic.Pointer[pool] // of the lists in force
	former  *pool
	proxied *viaProxy // nil without an upstream proxy
	http    *http.Client
}

// New returns a Client. It connects to nothing yet.
func New(o Options) *Client {
	o = o.withDefaults()
	c := &Client{
		policy:         o.Policy,
		offline:        o.Offline,
		meter:          o.Meter,
		answered:       o.Answered,
		rate:           newThrottle(o.Rates),
		log:            o.Log,
		headers:        o.headers(),
		logins:         o.Logins,
		mirrors:        o.Mirrors,
		names:          newNames(o.Resolver),
		self:           o.Self,
		connectTimeout: o.ConnectTimeout,
		headerTimeout:  o.HeaderTimeout,
		stallTimeout:   o.StallTimeout,
		down:           down{lasts: o.DownFor},
		proxyDown:      down{lasts: o.DownFor},
		health:         health{lasts: o.DownFor},
	}
	c.pool.Store(c.newPool(c.policy.now().lists))
	c.former = c.newFormerPool()
	c.proxied = c.newViaProxy()
	c.http = &http.Client{Transport: hop{c}, CheckRedirect: c.checkRedirect}
	return c
}

func (o Options) withDefaults() Options {
	if o.Policy == nil {
		o.Policy = new(Policy)
	}
	if o.Meter == nil {
		o.Meter = func(File, Answer, int64) {}
	}
	if o.Answered == nil {
		o.Answered = func(File, int) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.UserAgent = cmp.Or(o.UserAgent, "millpond")
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, defaultConnectTimeout)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, defaultHeaderTimeout)
	o.StallTimeout = cmp.Or(o.StallTimeout, defaultStallTimeout)
	o.DownFor = cmp.Or(o.DownFor, defaultDownFor)
	return o
}

// headers are those of every request.
func (o Options) headers() http.Header {
	h := make(http.Header)
	h.Set("User-Agent", o.UserAgent)
	// Without it any coding is acceptable (RFC 9110, section 12.5.3).
	h.Set("Accept-Encoding", "identity")
	if o.Via != "" {
		h.Set("Via", "1.1 "+o.Via)
	}
	return h
}

// newTransport sets no Proxy, which ignores HTTP_PROXY and its like: that proxy would
// resolve and dial past the policy.
func (c *Client) newTransport(dial func(ctx context.Context, network, hostport string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, hostport string) (net.Conn, error) {
			conn, err := dial(ctx, network, hostport)
			if err != nil {
				return nil, err
			}
			return &headConn{Conn: conn}, nil
		},
		TLSHandshakeTimeout:    c.connectTimeout,
		ResponseHeaderTimeout:  c.headerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConnsPerHost,
		MaxConnsPerHost:        commonRoom.Most + reserveRoom.Most,
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true, // a DialContext turns it off otherwise
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// Close closes connections that are idle. Bodies being read stay open until
// they are closed.
func (c *Client) Close() error {
	c.pool.Load().close()
	c.former.close()
	c.proxied.close()
	return nil
}

// Get sends a request and follows at most 10 redirects. The context must last as
// long as the Body.
//
// Before the first body byte, temporary failures are tried up to twice more: a
// refused or cut connection, and 429, 502, 503 and 504 with a Retry-After of at
// most 3 s. Until a longer one has passed, at most five minutes, no request is sent
// and the error is the same. Several mirrors of an archive are asked in turn, and
// the error is the most telling one.
//
// The bytes are those that the mirror sends, whatever it says of their
// Content-Encoding: apt ignores it, and servers state it for files that are
// compressed in themselves, or misuse it (UTF-8, none).
//
// Errors: ErrOffline, *RefusedError, *UnreachableError, *UpstreamError,
// *StatusError, *AnswerError and the context's.
func (c *Client) Get(ctx context.Context, r Request) (*Response, error) {
	if err := c.vet(ctx, r); err != nil {
		return nil, err
	}
	a, u := c.archiveOf(r)
	if a == nil {
		return c.getAgain(ctx, r)
	}
	if r.Mirror == "" {
		return c.getInTurn(ctx, r, a, u)
	}
	d, ok := a.mirror(r.Mirror)
	if !ok {
		return nil, fmt.Errorf("%.300s is no mirror of %s", r.Mirror, a.url)
	}
	return c.getAt(ctx, r, a, d, u)
}

// getAgain sends r, and again after temporary failures.
func (c *Client) getAgain(ctx context.Context, r Request) (*Response, error) {
	for try := 1; ; try++ {
		resp, err := c.get(ctx, r)
		if err == nil {
			return resp, nil
		}
		wait, again := backoff(err, try)
		if !again {
			c.leaveAlone(r.URL, err)
			return nil, err
		}
		c.log.Debug("mirror request retried", "url", r.URL, "try", try, "wait", wait, "err", err)
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// getOnce sends r.
func (c *Client) getOnce(ctx context.Context, r Request) (*Response, error) {
	resp, err := c.get(ctx, r)
	if err != nil {
		c.leaveAlone(r.URL, err)
	}
	return resp, err
}

// vet returns an error for an invalid request and for one that the policy
// forbids by its URL, which a redirect is not held to.
func (c *Client) vet(ctx context.Context, r Request) error {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return fmt.Errorf("URL of a file: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("URL of a file %.300q: want http or https", r.URL)
	case u.Hostname() == "" || len(u.Host) > maxHost+len("[]:65535"):
		return fmt.Errorf("URL of a file %.300q: no host, or one longer than %d bytes", r.URL, maxHost)
	case r.Offset < 0 || r.Length < 0:
		return fmt.Errorf("range of %.300q: offset %d and length %d", r.URL, r.Offset, r.Length)
	}
	host, port, err := destinationOf(u)
	if err != nil {
		return err
	}
	return c.rulingFor(ctx).checkArchive(host, port, path.Clean("/"+u.Path))
}

// getBy sends r once, by the scheme of its URL.
func (c *Client) getBy(ctx context.Context, r Request) (*Response, error) {
	var places reach
	req, err := c.newRequest(context.WithValue(ctx, reachKey{}, &places), r)
	if err != nil {
		return nil, fmt.Errorf("request for %.300q: %w", r.URL, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var outer *url.Error // adds "Get" and the URL, which our errors name already
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, asAnswerError(ctx, r, err)
	}
	a, err := read(r, resp)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	a.Private = places.why()
	c.noteSecure(resp)
	return a, nil
}

func (c *Client) newRequest(ctx context.Context, r Request) (*http.Request, error) {
	if r.Patience > 0 {
		ctx = context.WithValue(ctx, patienceKey{}, r.Patience)
	}
	if r.Small {
		ctx = context.WithValue(ctx, smallKey{}, true)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header = c.headersFor(ctx)
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	set("If-None-Match", r.IfNoneMatch)
	set("If-Modified-Since", r.IfModifiedSince)
	if r.ranged() {
		set("Range", rangeHeader(r.Offset, r.Length))
		set("If-Range", r.IfRange)
	}
	switch {
	case r.Reload:
		set("Cache-Control", "no-cache")
		set("Pragma", "no-cache") // for caches of HTTP/1.0, as apt does
	case r.Revalidate, r.Login != "":
		set("Cache-Control", "max-age=0")
	}
	set("Authorization", string(r.Login))
	return req, nil
}
