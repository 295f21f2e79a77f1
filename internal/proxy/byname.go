package proxy

import (
	"net"
	"net/http"
	"strings"

	"millpond/internal/mirror"
)

// Where the DNS of a site leads an archive's name to the box, a client that has never
// heard of the box asks it as it would ask the archive:
//
//	GET /debian/dists/stable/InRelease
//	Host: archive.example.org
//
// The whole of such a name is the archive's: nothing of the box is served under it.

// lists are the hosts that requests and tunnels may be for. They are not changed.
type lists struct{ hosts, tunnels mirror.Hosts }

// Replace puts others in the place of Options.Hosts and Options.Tunnels, both at once.
// Requests and tunnels under way go on. What was found out about hosts that are no
// upstreams, and all answers kept to be repeated, are forgotten: the policy may have
// changed as well, just before.
func (p *Proxy) Replace(hosts, tunnels mirror.Hosts) {
	p.lists.Store(&lists{hosts, tunnels})
	p.names.forget()
	p.repeats.clear()
}

// HasName reports whether a name is one of the hosts whose names lead here, at that
// port of theirs. The box's own names are not, so that its page stays reachable under
// them.
func (p *Proxy) HasName(name string, port int) bool {
	return p.lists.Load().hosts.Has(name, port) && (p.ownName == nil || !p.ownName(name))
}

// byName reads a request that came to the box by the name of an archive. It is in the
// clear: a client that speaks TLS with an archive wants the archive's certificate
// (through.go).
func (p *Proxy) byName(r *http.Request) (target, bool) {
	if p.lists.Load().hosts.IsEmpty() || r.URL.Scheme != "" || r.Method == http.MethodConnect || r.TLS != nil {
		return target{}, false
	}
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = r.Host, "80"
	}
	// An empty port is the scheme's (RFC 3986, section 3.2.3), and 080 is 80.
	if port != "" && strings.TrimLeft(port, "0") != "80" || !p.HasName(strings.Trim(name, "[]"), 80) {
		return target{}, false
	}
	return target{
		route: toArchive, scheme: "http", host: strings.TrimSuffix(r.Host, ":"), path: pathOf(r),
		login: loginOf(r), named: true, byHost: true,
	}, true
}

// shown is a request's URL for logs and pages, with the name that it came by.
func (p *Proxy) shown(r *http.Request) string {
	if _, ok := p.byName(r); !ok {
		return shown(r.URL)
	}
	u := *r.URL
	u.Scheme, u.Host = "http", r.Host
	return shown(&u)
}
