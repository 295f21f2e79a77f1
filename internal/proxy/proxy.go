// Package proxy is the HTTP server for apt: it takes a request in any of the
// forms in which apt can be pointed at the box, asks the catalog what the file
// is, gets its bytes from fetch and sends them with the exactness that apt's
// resuming, pipelining and conditional requests rely on. CONNECT opens tunnels,
// under policy, never cached. Other requests go to the dashboard.
//
// Only files of archives may be asked for, unless policy allows a host any path
// (access.go, asked.go). A client's login is passed on to the host of the
// request's URL and to no other (login.go). Where the DNS of a site leads archives'
// names to the box, their clients need no proxy (byname.go). A URL with a name of the box that the
// box does not know is understood all the same (own.go). A path, or a client's address,
// may ask for another generation than the one in force (view.go). Who was sent all of a file
// lately and asks for it again may have found it damaged (receipts.go). The answer with a
// held file that was given a moment ago is repeated below net/http (repeat.go), by the same
// rules.
//
// It promises that no client takes a short or wrong file for a complete one:
// whatever goes wrong after the header cuts the connection. What goes wrong
// before is told in the status line, the only thing that apt prints; errors.go
// is the one table of that. Only the time to a header and stalls are bounded,
// never a whole transfer, and each body byte is credited to the ledger as it
// is written.
package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// Catalog says what a file is; *catalog.Catalog.
type Catalog interface {
	// Resolve returns what l is; given returns the generation of a suite that
	// the client was given last, zero if none.
	Resolve(ctx context.Context, l catalog.Location, given func(suite catalog.Location) digest.Digest) catalog.Entry
	Known(l catalog.Location) bool
	// Revision changes with all that the catalog knows.
	Revision() uint64
}

// Fetcher gets a file's bytes; *fetch.Fetcher.
type Fetcher interface {
	Get(ctx context.Context, r fetch.Request) (*fetch.File, error)
	// Peek is Get without need of the bytes, for HEAD.
	Peek(ctx context.Context, r fetch.Request) (*fetch.File, error)
	// Reuse counts in a client that reads a file once more which Get gave as a held and
	// public one. It reports false if Get is to be asked. Otherwise Reused is called at
	// the end.
	Reuse(r fetch.Request) bool
	// Unchanged is Reuse for a client that is told that it has the Release file which Get
	// gave; age is File.Age by now.
	Unchanged(r fetch.Request, given *fetch.File) (age time.Duration, ok bool)
	Reused(d digest.Digest)
	// Anticipate begins to fetch what Get will be asked for soon, and waits
	// for nothing.
	Anticipate(r fetch.Request)
	// Revalidated is told that a client has the present Release of a suite.
	Revalidated(suite catalog.Location)
}

// Ledger counts; *ledger.Ledger.
type Ledger interface {
	Request(client netip.Addr, f ledger.File)
	Delivered(client netip.Addr, f ledger.File, from ledger.Origin, n int64)
	TunnelOpened(client netip.Addr, host string)
	Tunnelled(client netip.Addr, host string, n int64)
}

// Demand is told what clients get; *prefetch.Prefetcher.
type Demand interface {
	// Served is told that a client, without a login, got n bytes of the content e: for
	// the first time in an hour, from its first byte on, if anew, so that nobody makes
	// it seem much used; and from the held file if held, else from a download. It does
	// not block.
	Served(e catalog.Entry, n int64, anew, held bool)
}

// Notes is told what each client did; *clients.Notes.
type Notes interface {
	Updated(client netip.Addr, suite, ring string, generation digest.Digest)
	Got(client netip.Addr, f deb.File, n int64, whole bool)
	Failed(client netip.Addr, status int, cause, url string)
}

// Dialer opens a tunnel's far end under the upstream policy; *mirror.Client.
type Dialer interface {
	Dial(ctx context.Context, hostport string) (net.Conn, error)
}

// Policy refuses, with a *mirror.RefusedError, a destination that is forbidden
// by its name or port alone and a file outside of the archives that the box is
// restricted to, before anything else is done for the request; *mirror.Policy.
// The addresses of a name are checked when it is dialled.
type Policy interface {
	CheckName(host string, port int) error
	CheckArchive(host string, port int, path string) error
	AllowsAnyPath(host string, port int) bool
}

// Options joins a Proxy with the floors below. What has no default is
// required.
type Options struct {
	Catalog   Catalog
	Fetcher   Fetcher
	Ledger    Ledger
	Demand    Demand // nil if nobody wants to know
	Notes     Notes  // likewise
	Dialer    Dialer // of tunnels
	Policy    Policy
	Rings     Rings     // nil without rings and snapshots
	AccessLog AccessLog // nil without one
	// Measured, if not nil, is called for each request for a file when it is over, with
	// its outcome in a word of a few, how long its first byte took, 0 if none was sent,
	// and its last one. It does not block.
	Measured     func(outcome string, firstByte, took time.Duration)
	Proxies      front.Proxies // whom to believe about whose a request is
	AllowClients Clients       // who may use the box
	Tunnels      mirror.Hosts  // where CONNECT may lead to, under the policy
	// Hosts are those whose names lead clients to the box. OwnName reports whether a
	// name is the box's own all the same; nil if none is.
	Hosts   mirror.Hosts
	OwnName func(name string) bool
	Local   http.Handler // serves what is not for an archive, in origin form
	// Repeats is how many answers are kept to be repeated, each with an open file; 0 for
	// none.
	Repeats int
	// Via names this box in Via headers (RFC 9110, section 7.6.3): a token
	// that no other box has, the same that the mirror's client sends.
	Via string
	Log *slog.Logger
}

// Limits. They bound stalls, never a transfer.
const (
	// stallLimit is how long a client may take nothing of an answer. Some
	// link outages last minutes; apt itself gives up after 30 s.
	stallLimit = 5 * time.Minute
	// tunnelIdle is how long nothing may pass in a tunnel.
	tunnelIdle = 5 * time.Minute
	// maxTunnels bounds the tunnels open at once. Each holds two sockets and
	// two buffers. One more cuts one of the client with the most: where nothing
	// has passed for the longest time.
	maxTunnels = 256
)

// Proxy is safe for concurrent use. Its Server must run it, or one that has
// its ConnContext, best with a Listener of it.
type Proxy struct {
	catalog      Catalog
	fetcher      Fetcher
	ledger       Ledger
	demand       Demand
	notes        Notes
	dialer       Dialer
	policy       Policy
	rings        Rings
	accessLog    AccessLog
	measured     func(outcome string, firstByte, took time.Duration)
	proxies      front.Proxies
	allowClients Clients
	lists        atomic.Pointer[lists]
	ownName      func(name string) bool
	local        http.Handler
	via          string
	fields       fields
	log          *slog.Logger

	stall    time.Duration
	sessions sessions
	receipts receipts
	repeats  *repeats
	tunnels  tunnels
	hellos   hellos
	names    ownNames
	serving  atomic.Int64 // clients to whom a held file is being sent
	underWay atomic.Int64 // requests for files and tunnels in progress
}

var _ http.Handler = (*Proxy)(nil)

// New returns a Proxy. Shutdown ends its tunnels.
func New(o Options) *Proxy {
	p := &Proxy{
		catalog: o.Catalog, fetcher: o.Fetcher, ledger: o.Ledger, demand: o.Demand, notes: o.Notes, dialer: o.Dialer, policy: o.Policy, rings: o.Rings, accessLog: o.AccessLog, measured: o.Measured,
		proxies: o.Proxies, allowClients: o.AllowClients, ownName: o.OwnName, local: o.Local, via: o.Via, fields: fieldsOf(o.Via), log: o.Log,
		stall: stallLimit, sessions: newSessions(), receipts: newReceipts(), repeats: newRepeats(o.Repeats), tunnels: newTunnels(),
	}
	p.Replace(o.Hosts, o.Tunnels)
	return p
}

// Busy reports whether a client is being sent a held file: then this site's
// clients have disk and network first, and other boxes wait. A client that
// waits for a download does not count.
func (p *Proxy) Busy() bool { return p.serving.Load() > 0 }

// UnderWay is how many requests for files, and tunnels, are in progress.
func (p *Proxy) UnderWay() int64 { return p.underWay.Load() }

// Forget forgets what an address was given, but for its open connections.
func (p *Proxy) Forget(client netip.Addr) {
	p.sessions.forget(client)
	p.receipts.forget(front.PartyOf(client))
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	r = p.identify(r)
	front.Serving(r)
	w := newResponse(rw, r, p.stall)
	w.rules = p.repeats.rules.Load()
	begun := time.Now()
	defer func() { p.record(w, r, begun) }()
	if err := p.handle(w, r); err != nil {
		p.fail(w, r, err)
	}
}

// handle routes the request. An error is returned only before
// anything of an answer was sent.
func (p *Proxy) handle(w *response, r *http.Request) error {
	client, t := front.ClientOf(r), p.targetOf(r)
	if !p.allowClients.Admit(client) && !isHealth(r, t) {
		if r.RemoteAddr == "" {
			return whoseError{}
		}
		return &clientError{client}
	}
	if t.route == toArchive || t.route == toTunnel {
		p.underWay.Add(1)
		defer p.underWay.Add(-1)
	}
	switch t.route {
	case toArchive:
		return p.archive(w, r, t, client)
	case toTunnel:
		return p.tunnel(w, r, client)
	case toNothing:
		return &hostError{t.host}
	default:
		p.local.ServeHTTP(w, originForm(r))
		return nil
	}
}

// fail answers a request that could not be served, from the table in
// errors.go. A client that disconnected is no error. Answer and log have the same
// request ID.
func (p *Proxy) fail(w *response, r *http.Request, err error) {
	if r.Context().Err() != nil {
		w.outcome.what = wasLeft
		p.log.Debug("client disconnected before its answer", "client", front.ClientOf(r), "url", p.shown(r), "err", err)
		panic(http.ErrAbortHandler) // returning would send an empty 200
	}
	a := explain(err)
	w.outcome.what = outcomeOfStatus(a.status)
	id := front.NewRequestID()
	failure := a.failure()
	attrs := []any{"request", id, "client", front.ClientOf(r), "url", p.shown(r), "status", a.status, "err", err}
	if a.setting != "" {
		attrs = append(attrs, "setting", a.setting)
	}
	if failure != "" {
		attrs = append(attrs, "failure", failure)
	}
	switch {
	case failure == "missing" && (a.status == http.StatusNotFound || a.status == http.StatusGone):
		p.log.Log(r.Context(), a.level, "the mirror has no such file", attrs...)
	case failure == "missing":
		p.log.Log(r.Context(), a.level, "the mirror refused a file", attrs...)
	case failure == "refused":
		p.log.Log(r.Context(), a.level, "request refused", attrs...)
	default:
		p.log.Log(r.Context(), a.level, "request not served", attrs...)
	}
	p.noteFailure(r, err, a.status, a.cause)
	w.Header().Set("Via", "1.1 "+p.via)
	w.Header().Set(front.RequestID, id)
	if a.verdict {
		a.relay(w)
	} else {
		a.refuse(w, r, id)
	}
}

// cut ends a connection on which an answer has begun that cannot be completed,
// so that the client sees it as broken off. By HTTP/1.1's framing it does when
// the connection ends early. HTTP/1.0 without a length takes the end of the
// connection for the end of the file: there only a reset tells them apart.
func (p *Proxy) cut(w *response, r *http.Request) {
	if !r.ProtoAtLeast(1, 1) && w.Header().Get("Content-Length") == "" {
		if conn, _, err := w.control.Hijack(); err == nil {
			if encrypted, ok := conn.(*tls.Conn); ok {
				conn = encrypted.NetConn() // its own Close would say that this is the end
			}
			if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
