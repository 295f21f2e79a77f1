package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// route says what serves a request.
type route uint8

const (
	toLocal route = iota
	toArchive
	toTunnel
	toNothing
)

// target is what a request asks for, as far as its form tells: the parts of an
// archive's URL are not checked yet.
type target struct {
	route
	scheme, host, path string // of an archive; the path is percent-encoded, with the query behind it
	absolute           bool   // the request's URL names the host, in the place of the host or in the path
	byHost             bool   // the Host field names the host
	// login is the client's for the archive's host: only in the forms whose URL
	// has that host. In all others it belongs to the name of the box, or to none.
	login mirror.Login
	named bool // the URL has the archive's host
	view  view
	fault error // what is wrong with the path before the archive's host
}

// targetOf reads the forms of a request:
//
//	GET http://host/path           apt's Acquire::http::Proxy
//	GET http://HTTPS///host/path   the same, the archive is https
//	GET https://host/path          from clients that let a proxy do the TLS
//	GET /host/path                 sources.list rewritten
//	GET /HTTPS///host/path         the same, the archive is https
//	GET /https/host/path           likewise
//	GET /ring/NAME/host/path       what a ring has (view.go)
//	GET /snapshot/TIME/host/path   what there was at a time
//	CONNECT host:port
//
// Everything else is local, as is a proxy request for the box itself, but for a
// path that begins with a word that is neither a host nor the box's own.
// A Host field plays no part in these: the URL of an absolute form takes precedence
// (RFC 9112, section 3.2.2), and the other forms name the host in the path. What
// comes under the name of an archive is read before (byname.go).
func targetOf(r *http.Request) target {
	if r.Method == http.MethodConnect {
		return target{route: toTunnel, host: r.Host}
	}
	path := pathOf(r)
	switch {
	case r.URL.Scheme == "" || isSelf(r):
		return originTarget(path)
	case strings.EqualFold(r.URL.Host, "https"):
		t := httpsTarget(path)
		t.absolute = true
		return t
	default:
		return target{
			route: toArchive, scheme: r.URL.Scheme, host: r.URL.Host, path: path,
			login: loginOf(r), absolute: true, named: true,
		}
	}
}

// pathOf is the path of a request's URL, percent-encoded, with the query behind it.
func pathOf(r *http.Request) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/" // RFC 9112, section 3.2.2
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		path += "?" + r.URL.RawQuery
	}
	return path
}

// loginOf is a client's login for the host of its request's URL. apt sends the
// login of a source like http://user:password@host twice, in the URL as well.
func loginOf(r *http.Request) mirror.Login {
	login := mirror.Login(r.Header.Get("Authorization"))
	if user := r.URL.User; login == "" && user != nil {
		password, _ := user.Password()
		login = mirror.Basic(user.Username(), password)
	}
	return login
}

// originTarget reads /host/path, where host must look like one, so that pages
// of the box keep their names: /favicon.ico is no host, nothing follows it. A
// word that is no page either is most likely meant as an archive.
func originTarget(path string) target {
	path = strings.TrimLeft(path, "/")
	plain, _, _ := strings.Cut(path, "?")
	first, _, followed := strings.Cut(plain, "/")
	rest := path[len(first):]
	switch {
	case !followed:
		return target{}
	case strings.EqualFold(first, "https"):
		if t := httpsTarget(rest); t.host != "" {
			return t
		}
	case first == "ring", first == "snapshot":
		return viewTarget(first, rest)
	case isReserved(first), strings.HasPrefix(first, "."):
	case looksLikeHost(first):
		return target{route: toArchive, scheme: "http", host: first, path: rest}
	default:
		return target{route: toNothing, host: first}
	}
	return target{}
}

// httpsTarget reads what follows the marker of an https archive.
func httpsTarget(path string) target {
	host, rest, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	return target{route: toArchive, scheme: "https", host: host, path: "/" + rest}
}

func looksLikeHost(segment string) bool {
	return strings.IndexByte(segment, '.') > 0 || strings.Contains(segment, ":") || segment == "localhost"
}

// location is the archive file of a target.
func (t target) location() (catalog.Location, error) {
	if t.fault != nil {
		return catalog.Location{}, &requestError{t.fault}
	}
	l, err := catalog.ParseLocation(t.scheme, t.host, t.path)
	if err != nil {
		return l, &requestError{err}
	}
	return l, nil
}

// isSelf reports whether an absolute URL names this box: the address and port
// that the request came in at, or localhost with that port.
func isSelf(r *http.Request) bool {
	local := localAddr(r)
	if !local.IsValid() || !strings.EqualFold(r.URL.Scheme, "http") {
		return false
	}
	port := r.URL.Port()
	if port == "" {
		port = "80"
	}
	if port != localPort(r) {
		return false
	}
	name := r.URL.Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (ip.Unmap() == local.Addr().Unmap().WithZone("") || ip.IsLoopback())
}

// localAddr is the address that a request came in at, the zero AddrPort if it is
// not known.
func localAddr(r *http.Request) netip.AddrPort {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.AddrPort{}
	}
	local, _ := netip.ParseAddrPort(addr.String())
	return local
}

// localPort is the port of localAddr, "" if it is not known.
func localPort(r *http.Request) string {
	local := localAddr(r)
	if !local.IsValid() {
		return ""
	}
	return strconv.Itoa(int(local.Port()))
}

// originForm returns r as it would have come without a proxy's URL.
func originForm(r *http.Request) *http.Request {
	if r.URL.Scheme == "" {
		return r
	}
	own := *r
	own.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if own.URL.Path == "" {
		own.URL.Path = "/"
	}
	own.RequestURI = own.URL.RequestURI()
	return &own
}
