package mirror

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"
)

// Mirrors returns the mirrors that may have the file of r, for Request.Mirror, in
// the order in which to ask them. size is the file's in bytes, -1 if it is not
// known; first, if not "", is a mirror that comes first unless it is failing. For
// an archive without mirrors it is one, "".
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

// Blame notes that what the mirror at sent for the file at url is wrong, or came much
// more slowly than from elsewhere. The others are asked first for a while.
func (c *Client) Blame(url, at string, why error) {
	a, _ := c.archiveOf(Request{URL: url})
	if d, ok := a.mirror(at); ok {
		c.health.failed(d, why, true)
	}
}

// archiveOf returns the archive with mirrors that has the file of r, nil if the file
// is requested where its URL says. A client's login is for the archive's own name
// and for no mirror of it.
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

// getInTurn asks a's mirrors for the file at u until one sends it. Those that were
// passed over because they were slow or away are asked once more at the end, and
// waited for.
func (c *Client) getInTurn(ctx context.Context, r Request, a *archive, u *url.URL) (*Response, error) {
	order := c.order(a, -1, "")
	var failure error // the most telling one
	for round := range 2 {
		var later []directory
		for i, d := range order {
			if failure != nil && isVerdict(failure) && c.failing(d) {
				continue // another one has said that there is no such file
			}
			r.Failover = round == 0 && (i < len(order)-1 || len(later) > 0)
			resp, err := c.getAt(ctx, r, a, d, u)
			if err == nil || ctx.Err() != nil || errors.Is(err, ErrOffline) {
				return resp, err
			}
			c.log.Debug("mirror passed over", "url", r.URL, "mirror", d.url, "err", err)
			if failure == nil || vagueness(err) < vagueness(failure) {
				failure = err
			}
			if r.Failover && IsUnreachable(err) {
				later = append(later, d)
			}
		}
		if len(later) == 0 || isVerdict(failure) {
			break
		}
		order = later
	}
	return nil, failure
}

// isVerdict reports whether err says that there is no such file, or none for the
// box: other mirrors need not be waited for.
func isVerdict(err error) bool { return vagueness(err) == 0 }

// vagueness ranks errors, the most telling first.
func vagueness(err error) int {
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
	resp.Body = c.timedBody(ctx, r, a, d, resp.Body)
	return resp, nil
}

// loginAt returns the login for the file at u at the mirror d: the box's own for d
// if r has one of the box's, and never that of another host.
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
