package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// ErrTooSlow says that a mirror sent a body much more slowly than another one of
// the archive is known to.
var ErrTooSlow = errors.New("the mirror is much slower than another")

// Mirrors returns at which mirrors the file of r may be requested (Request.At), in
// the order in which to ask them. size is the file's in bytes, -1 if it is not
// known; first, if not "", is a mirror that is to come first unless it is failing.
// Where the archive has no mirrors, that is one, "".
func (c *Client) Mirrors(r Request, size int64, first string) []string {
	a, _ := c.archiveOf(r)
	if a == nil {
		return []string{""}
	}
	var all []string
	for _, d := range c.order(a, size, first) {
		all = append(all, d.url)
	}
	return all
}

// URLAt returns the URL that the file at rawURL has at a mirror, one of Mirrors.
func (c *Client) URLAt(rawURL, at string) string {
	a, u := c.archiveOf(Request{URL: rawURL})
	d, ok := a.mirror(at)
	if !ok {
		return rawURL
	}
	return a.at(d, u)
}

// Blame notes that what the mirror at sent for the file at url is wrong. The
// others are asked first for a while.
func (c *Client) Blame(url, at string, why error) {
	a, _ := c.archiveOf(Request{URL: url})
	if d, ok := a.mirror(at); ok {
		c.health.failed(d, why, true)
	}
}

// archiveOf returns the archive with mirrors that has the file of r, nil if it is
// requested where its URL says. A client's login is for the archive's own name and
// no mirror of it.
func (c *Client) archiveOf(r Request) (*archive, *url.URL) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, nil
	}
	a, ok := c.mirrors.of(u)
	if !ok || r.Login != "" && r.Login != c.LoginFor(r.URL) {
		return nil, nil
	}
	return a, u
}

// mirror returns the mirror with that URL.
func (a *archive) mirror(at string) (d directory, ok bool) {
	if a == nil {
		return directory{}, false
	}
	i := slices.IndexFunc(a.mirrors, func(d directory) bool { return d.url == at })
	if i < 0 {
		return directory{}, false
	}
	return a.mirrors[i], true
}

// getInTurn asks a's mirrors for the file at u until one sends it. Those that
// others were asked instead of, since they were slow or away, are asked once more
// in the end, and waited for.
func (c *Client) getInTurn(ctx context.Context, r Request, a *archive, u *url.URL) (*Response, error) {
	order := c.order(a, -1, "")
	var told error
	for round := range 2 {
		var later []directory
		for i, d := range order {
			if told != nil && telling(told) == 0 && c.failing(d) {
				continue // another one has said that there is no such file
			}
			r.Failover = round == 0 && (i < len(order)-1 || len(later) > 0)
			resp, err := c.getAt(ctx, r, a, d, u)
			if err == nil || ctx.Err() != nil || errors.Is(err, ErrOffline) {
				return resp, err
			}
			c.log.Debug("mirror passed over", "url", r.URL, "mirror", d.url, "err", err)
			if told == nil || telling(err) < telling(told) {
				told = err
			}
			if r.Failover && IsUnreachable(err) {
				later = append(later, d)
			}
		}
		if len(later) == 0 || telling(told) == 0 {
			break
		}
		order = later
	}
	return nil, told
}

// telling says how little err says of a file, 0 for the answer that there is none.
func telling(err error) int {
	var status *StatusError
	var answer *AnswerError
	switch {
	case !IsUnreachable(err):
		return 0
	case errors.As(err, &status):
		return 1
	case errors.As(err, &answer):
		return 2
	}
	return 3
}

// getAt requests the file at u from d, a mirror of the archive a.
func (c *Client) getAt(ctx context.Context, r Request, a *archive, d directory, u *url.URL) (*Response, error) {
	q := r
	q.URL, q.Login = a.at(d, u), c.loginAt(r, a, d, u)
	get := c.getAgain
	if r.Failover {
		get = c.getOnce
		if patience := c.patience(a, d); q.Patience == 0 || patience < q.Patience {
			q.Patience = patience
		}
	}
	about := fetched{at: d, file: File{Host: meterName(a.scheme, a.host, a.port), Path: u.Path}}
	begun := time.Now()
	resp, err := get(context.WithValue(ctx, fetchedKey{}, about), q)
	switch {
	case err != nil && ctx.Err() == nil && IsUnreachable(err) && !errors.Is(err, errLeftAlone) && !aboutProxy(err):
		c.health.failed(d, err, false)
		return nil, err
	case err != nil:
		return nil, err
	}
	c.health.answered(d, time.Since(begun))
	if resp.URL == q.URL {
		resp.URL = r.URL
	}
	resp.Mirror = d.url
	t := &timed{ReadCloser: resp.Body, c: c, ctx: ctx, d: d, before: c.received.Load()}
	if r.Failover {
		t.after, t.pace = slowAfter, func() float64 { return c.pace(a, d) }
		if c.health.get(d).rate == 0 {
			t.after = tryAfter
		}
	}
	resp.Body = t
	return resp, nil
}

// loginAt returns the login for the file at u at d: the box's own for d, if the
// request has the box's, and never another one's.
func (c *Client) loginAt(r Request, a *archive, d directory, u *url.URL) Login {
	if r.Login == "" {
		return ""
	}
	at, err := url.Parse(a.at(d, u))
	if err != nil {
		return ""
	}
	return c.logins.match(at)
}

// fetchedKey has, in a request's context, what is being fetched.
type fetchedKey struct{}

// fetched is what a request to a mirror counts as: the archive's file.
type fetched struct {
	at   directory
	file File
}

// fileOf is what the bytes of req, to that destination, are about. What redirects
// lead to counts as its own host's.
func fileOf(req *http.Request, host string, port int) File {
	f := File{Host: meterName(req.URL.Scheme, host, port), Path: asked(req).URL.Path}
	about, ok := req.Context().Value(fetchedKey{}).(fetched)
	if !ok {
		return f
	}
	f.Path = about.file.Path
	if req.URL.Scheme == about.at.scheme && hostKey(host) == about.at.host && port == about.at.port {
		f.Host = about.file.Host
	}
	return f
}

// timed is the body of a mirror's answer. It measures the mirror, and ends with
// ErrTooSlow if others are much faster.
type timed struct {
	io.ReadCloser
	c    *Client
	ctx  context.Context // the caller's
	d    directory
	pace func() float64 // bytes a second that are too few; nil takes any
	// after is how long an interval is in which they are.
	after time.Duration

	n, lately   int64 // bytes: in all, and of the present interval
	waited, now time.Duration
	before      int64 // bytes of all hosts before the interval
	noted       bool
	limited     bool // by Options.Rates: how fast it comes says nothing of the mirror
}

// Read implements io.Reader.
func (t *timed) Read(p []byte) (int, error) {
	begun := time.Now()
	n, err := t.ReadCloser.Read(p)
	took := time.Since(begun)
	t.limited = t.limited || t.c.Limited()
	t.n, t.lately = t.n+int64(n), t.lately+int64(n)
	t.waited, t.now = t.waited+took, t.now+took
	switch {
	case errors.Is(err, io.EOF):
		t.note()
	case err != nil && t.ctx.Err() == nil && !t.noted:
		t.noted = true
		t.c.health.failed(t.d, err, false)
	case err == nil && t.pace != nil && t.now >= t.after && !t.limited:
		err = t.checkPace()
	}
	return n, err
}

// checkPace ends an interval. Where all bodies together come as fast as that from
// another mirror would, what they share is slow, and not this mirror.
func (t *timed) checkPace() error {
	received := t.c.received.Load()
	rate, all := float64(t.lately)/t.now.Seconds(), float64(received-t.before)/t.now.Seconds()
	t.lately, t.now, t.before = 0, 0, received
	if max(rate, all) >= t.pace() {
		return nil
	}
	t.noted = true
	t.c.health.tooSlow(t.d, rate)
	return fmt.Errorf("%s: %w: %.0f bytes a second", t.d.url, ErrTooSlow, rate)
}

// note records the measurement, once.
func (t *timed) note() {
	if !t.noted && !t.limited {
		t.noted = true
		t.c.health.sent(t.d, t.n, t.waited)
	}
}

// Close implements io.Closer.
func (t *timed) Close() error {
	t.note()
	return t.ReadCloser.Close()
}
