package mirror

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// NoAnswer stands for the status of a request that got none.
const NoAnswer = 0

// File is what a request or body bytes are about.
type File struct {
	Host string // that was asked: lower case, with a port only if it is not the scheme's own
	Path string // as requested, decoded; redirects do not change it
}

// Answer is the answer that body bytes are of.
type Answer struct {
	Host   string // that was asked, one of an archive's several mirrors for instance; as in File
	Status int    // NoAnswer if an upstream proxy made it itself
}

// fetchedKey is the key of a fetched in a request's context.
type fetchedKey struct{}

// fetched is the archive's file that is requested from one of several mirrors.
type fetched struct {
	at   directory
	file File
}

// fileOf is what the bytes of req, sent to that host and port, count as: from one of
// several mirrors, the archive's file; from where a redirect leads, a file of that
// host.
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

// asked returns the request that led to req by redirects.
func asked(req *http.Request) *http.Request {
	for req.Response != nil {
		req = req.Response.Request
	}
	return req
}

// meterName is the host under which bytes are counted.
func meterName(scheme, host string, port int) string {
	switch {
	case port != defaultPort(scheme):
		return net.JoinHostPort(host, strconv.Itoa(port))
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}
