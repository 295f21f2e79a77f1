package mirror

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// secureFor is how long a host counts as one that redirects to https. A host that
// stops to do so is asked by http after that, or as soon as https fails.
const secureFor = 24 * time.Hour

// secured remembers hosts that redirect plain http to https for the same file; at most
// maxDown. They are asked by https at once, which saves a request for each file.
type secured struct {
	mu    sync.Mutex
	hosts map[string]redirecting // guarded by mu
}

// redirecting is until when a host counts as one.
type redirecting struct{ until time.Time }

func (r redirecting) end() time.Time { return r.until }

func (s *secured) has(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.hosts[host].until)
}

func (s *secured) note(host string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = make(map[string]redirecting)
	}
	if len(s.hosts) >= maxDown {
		makeRoom(s.hosts, now)
	}
	s.hosts[host] = redirecting{now.Add(secureFor)}
}

func (s *secured) forget(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hosts, host)
}

// get sends r once, by https if its host is known to redirect there. What https does
// not give, http is asked for: the redirects may be for some files only. A login is for
// the scheme of its URL.
func (c *Client) get(ctx context.Context, r Request) (*Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil || r.Login != "" || !isPlain(u) || !c.https.has(canonical(u.Hostname())) {
		return c.getBy(ctx, r)
	}
	u.Scheme, u.Host = "https", strings.TrimSuffix(u.Host, ":80")
	by := r
	by.URL = u.String()
	resp, err := c.getBy(ctx, by)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrSlow) {
		return resp, err
	}
	c.https.forget(canonical(u.Hostname()))
	return c.getBy(ctx, r)
}

// noteSecure remembers the host of a request if its redirect to https led to resp.
func (c *Client) noteSecure(resp *http.Response) {
	second := resp.Request
	for second.Response != nil && second.Response.Request.Response != nil {
		second = second.Response.Request
	}
	if second.Response == nil { // there was no redirect
		return
	}
	from, to := second.Response.Request.URL, second.URL
	host, port, err := destinationOf(to)
	if err == nil && isPlain(from) && to.Scheme == "https" && port == 443 && host == canonical(from.Hostname()) && from.RequestURI() == to.RequestURI() {
		c.https.note(host)
	}
}

// isPlain reports whether u is http at its usual port.
func isPlain(u *url.URL) bool {
	return u.Scheme == "http" && (u.Port() == "" || u.Port() == "80") && u.User == nil
}
