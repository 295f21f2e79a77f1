package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"millpond/internal/address"
	"millpond/internal/catalog"
)

// Clients are the networks whose addresses may use the box; nil stands for those of the
// site (address.Site).
type Clients []netip.Prefix

// Admit reports whether client, without a zone, may use the box.
func (c Clients) Admit(client netip.Addr) bool {
	if c == nil {
		c = address.Site
	}
	return slices.ContainsFunc(c, func(p netip.Prefix) bool { return p.Contains(client) })
}

// identify returns r with its client's address, also where a proxy has passed it
// on. A proxy sends requests of several clients over one connection, so that such
// a one says nothing of the client.
func (p *Proxy) identify(r *http.Request) *http.Request {
	identified := p.proxies.Identify(r)
	if identified == r {
		return r
	}
	own := new(connection)
	if shared, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		own.raw, own.conn = shared.raw, shared.conn
	}
	return identified.WithContext(context.WithValue(r.Context(), connectionKey{}, own))
}

// isHealth is what anyone may ask. Probes come from addresses that the
// operator does not choose, and a refused one would have the box restarted.
func isHealth(r *http.Request, t target) bool {
	return t.route == toLocal && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
}

// vet returns the file that a request for an archive asks for, if it may be
// asked for.
func (p *Proxy) vet(r *http.Request, t target) (catalog.Location, error) {
	l, err := t.location()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return l, &methodError{r.Method}
	case err != nil:
		return l, err
	case p.looped(r) && t.byHost:
		return l, errNameLoop
	case p.looped(r) && !p.mayReturn(r, t):
		return l, errLoop
	case r.ContentLength != 0:
		// It has no meaning (RFC 9110, section 9.3.1), and waiting for the
		// end of it is not bounded.
		return l, &requestError{errors.New("a GET with a body")}
	}
	if err := p.check(l); err != nil {
		return l, err
	}
	host, port := destination(l)
	if !p.policy.AllowsAnyPath(host, port) && !p.mayBeAsked(l) {
		return l, &pathError{l}
	}
	return l, nil
}

// check is the early look at policy.
func (p *Proxy) check(l catalog.Location) error {
	host, port := destination(l)
	if err := p.policy.CheckName(host, port); err != nil {
		return err
	}
	return p.policy.CheckArchive(host, port, l.Path)
}

// destination returns the host of l without brackets, and its port.
func destination(l catalog.Location) (host string, port int) {
	host, port = l.Host, 80
	if l.Scheme == "https" {
		port = 443
	}
	if strings.LastIndexByte(l.Host, ':') > strings.LastIndexByte(l.Host, ']') { // else SplitHostPort makes an error
		if name, s, err := net.SplitHostPort(l.Host); err == nil {
			host = name
			port, _ = strconv.Atoi(s) // a Location has checked it
		}
	}
	return strings.Trim(host, "[]"), port
}

// looped reports whether the request has been here before: an upstream leads back to
// this box, by itself or through other boxes.
func (p *Proxy) looped(r *http.Request) bool {
	passes, _ := p.passes(r)
	return passes > 0
}

// passes returns how often a request has passed through this box, and whether this
// box is the one that sent it.
func (p *Proxy) passes(r *http.Request) (n int, last bool) {
	for _, line := range r.Header.Values("Via") {
		for element := range strings.SplitSeq(line, ",") {
			f := strings.Fields(element)
			if last = len(f) > 1 && f[1] == p.via; last {
				n++
			}
		}
	}
	return n, last
}

// mayReturn reports whether a request that has been here may be here again: once,
// straight from this box, since the host in its URL turned out to be this box, and
// its path names the next host.
func (p *Proxy) mayReturn(r *http.Request, t target) bool {
	passes, last := p.passes(r)
	return passes == 1 && last && !t.absolute && originTarget(t.path).route != toArchive
}
