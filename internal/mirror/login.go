package mirror

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// Login is the value of an Authorization header (RFC 9110, section 11.6.2). It
// is a secret, and formats as none, so that no log, page or error shows it.
type Login string

// String implements fmt.Stringer.
func (l Login) String() string {
	if l == "" {
		return "no login"
	}
	return "a login"
}

// GoString implements fmt.GoStringer, for %#v.
func (l Login) GoString() string { return l.String() }

// Basic returns the Login of a user and a password (RFC 7617).
func Basic(user, password string) Login {
	return Login("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// LoginFor returns the box's own login for a URL, "" if it has none: that of the URL
// itself, else of the first of the archive's mirrors that has one.
func (c *Client) LoginFor(rawURL string) Login {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	login := c.logins.match(u)
	a, ok := c.mirrors.of(u)
	if login != "" || !ok {
		return login
	}
	for _, d := range a.mirrors {
		if at, err := url.Parse(a.at(d, u)); err == nil && login == "" {
			login = c.logins.match(at)
		}
	}
	return login
}

// logInAfter gives a request that a redirect led to the login that belongs to
// its URL, and takes any other from it: net/http would send first's to every
// host below its own. The box's login for another host follows its own for the
// first one only: any client can name a mirror that redirects, with a login that
// it made up.
func (c *Client) logInAfter(req, first *http.Request) {
	login := Login(first.Header.Get("Authorization"))
	req.Header.Del("Authorization")
	if login == "" {
		return
	}
	if !sameOrigin(first.URL, req.URL) {
		boxes := login == c.logins.match(first.URL)
		if login = ""; boxes {
			login = c.logins.match(req.URL)
		}
	}
	if login != "" {
		req.Header.Set("Authorization", string(login))
	}
}

// sameOrigin reports whether a and b have the same scheme, host and port (RFC
// 6454).
func sameOrigin(a, b *url.URL) bool {
	hostA, portA, errA := destinationOf(a)
	hostB, portB, errB := destinationOf(b)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && hostA == hostB && portA == portB
}

// shown is u for logs and errors: a mirror may redirect to a URL with a login in
// it.
func shown(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	plain := *u
	plain.User = nil
	return plain.String()
}

// maxChallenges bounds what is passed on of the WWW-Authenticate fields, in
// bytes.
const maxChallenges = 2 << 10

// challenges returns an answer's WWW-Authenticate fields.
func challenges(h http.Header) []string {
	all := h.Values("WWW-Authenticate")
	if len(strings.Join(all, "")) > maxChallenges {
		return nil
	}
	return all
}
