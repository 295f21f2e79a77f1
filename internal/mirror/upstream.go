package mirror

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// The variables that an Upstream is read from.
const (
	upstreamProxy  = "MILLPOND_UPSTREAM_PROXY"
	upstreamExcept = "MILLPOND_UPSTREAM_PROXY_EXCEPT"
)

// Upstream is an HTTP proxy through which mirrors are reached. No log, page or error
// shows its login. The zero value is none: all mirrors are reached directly.
type Upstream struct {
	tls    bool
	host   string // as canonical has it; "" is none
	port   int
	except Hosts // reached directly
	// user is nil if there is no login. It is a function because fmt prints the
	// fields of structs that contain this one without calling String.
	user func() *url.Userinfo
}

// ParseUpstream reads MILLPOND_UPSTREAM_PROXY: http://proxy.example.net:3128, or
// https:// for a proxy that speaks TLS, with user:password@ before the host if it
// wants a login. "" is none. No error repeats any of it.
func ParseUpstream(s string) (Upstream, error) {
	if s == "" {
		return Upstream{}, nil
	}
	// Its error has the password in it.
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Upstream{}, errors.New("not a URL; write it as http://user:password@proxy.example.net:3128, with special characters of the password as %XX")
	case u.Scheme != "http" && u.Scheme != "https":
		return Upstream{}, errors.New("neither http:// nor https:// before the host; other kinds of proxies are not supported")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return Upstream{}, errors.New("more than a host and a port; write / ? # in a password as %XX")
	case u.User != nil && u.User.Username() == "":
		return Upstream{}, errors.New("a login without a user; write it as user:password@ before the host")
	}
	host, port, err := destinationOf(u)
	if _, bad := netip.ParseAddr(host); err != nil || bad != nil && !isHostName(host) {
		return Upstream{}, errors.New("no host, or a malformed one; want http://proxy.example.net:3128")
	}
	up := Upstream{tls: u.Scheme == "https", host: host, port: port}
	if u.User != nil {
		up.user = func() *url.Userinfo { return u.User }
	}
	return up, nil
}

// Except reads the entries of MILLPOND_UPSTREAM_PROXY_EXCEPT, hosts that are
// reached directly, as for ParseHosts. The error names every malformed entry.
func (u *Upstream) Except(entries []string) error {
	var faults []error
	for _, entry := range entries {
		if err := u.except.add(entry); err != nil {
			faults = append(faults, fmt.Errorf("%s: entry %.300q: %w", upstreamExcept, entry, err))
		}
	}
	return errors.Join(faults...)
}

// String is the proxy's host:port, without the login.
func (u Upstream) String() string { return net.JoinHostPort(u.host, strconv.Itoa(u.port)) }

// GoString implements fmt.GoStringer, for %#v.
func (u Upstream) GoString() string { return u.String() }

// isSet reports whether there is a proxy.
func (u *Upstream) isSet() bool { return u.host != "" }

// is reports whether host and port are the proxy's own.
func (u *Upstream) is(host string, port int) bool {
	return u.isSet() && port == u.port && hostKey(host) == hostKey(u.host)
}

// leadsTo reports whether host, a name or an address without brackets, is reached
// through the proxy.
func (u *Upstream) leadsTo(host string, port int) bool {
	return u.isSet() && !u.except.Has(host, port)
}

// login is the value of the Proxy-Authorization header, "" if there is none.
func (u *Upstream) login() Login {
	if u.user == nil {
		return ""
	}
	password, _ := u.user().Password()
	return Basic(u.user().Username(), password)
}

// isPublicName reports whether host is a name below a public suffix, under which
// anyone can register names, and so, as a rule, leads to a public address. Single
// words are not, though many are suffixes: a search domain of the site completes
// them. Nor are names that no public name server has: below arpa those of home
// networks (RFC 8375) and of addresses, and below onion (RFC 7686).
func isPublicName(host string) bool {
	host = canonical(host)
	if !isHostName(host) {
		return false
	}
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "arpa", "onion":
		return false
	}
	suffix, managed := publicsuffix.PublicSuffix(host)
	if managed {
		return suffix != host
	}
	// With a dot it is a domain whose owner lets others have names in it; without one
	// it is no suffix that anybody has.
	return strings.Contains(suffix, ".")
}
