// Package plain reads the one form of request that is answered without net/http: a GET
// of HTTP/1.1 without a body, with nothing in it that could change the answer but one
// condition. What it does not take is no error: net/http reads that.
//
// It promises that net/http takes all that it takes, for the same target, host, condition
// and end, and that the answer depends on these alone.
package plain

import "bytes"

// Request is a plain request. Its fields are parts of the bytes that it was read from.
type Request struct {
	Target []byte // as it stands in the request line
	Host   []byte // the Host field; of a target that is no path nil, since that names the host
	Since  []byte // If-Modified-Since as it stands there; nil without one
	Match  []byte // likewise If-None-Match; never both
}

// meaningless are the fields that may stand in a plain request, in lower case: those that
// say nothing about which file is asked for, or how much of it.
var meaningless = [][]byte{
	[]byte("user-agent"), []byte("accept"), []byte("accept-language"), []byte("accept-encoding"), []byte("proxy-connection"),
}

var (
	get       = []byte("GET ")
	version   = []byte(" HTTP/1.1")
	host      = []byte("host")
	since     = []byte("if-modified-since")
	match     = []byte("if-none-match")
	stays     = []byte("connection")
	keepAlive = []byte("keep-alive")
	control   = []byte("cache-control")
	checked   = []byte("max-age=0") // apt sends it with each request for an index, and the box ignores it
	lineEnd   = []byte("\r\n")
)

// Parse reads the request that b begins with, and returns its size. It is not ok if b has
// no end of a request, or begins with another one than a plain one.
func Parse(b []byte) (r Request, size int, ok bool) {
	line, rest, found := bytes.Cut(b, lineEnd)
	if !found || !bytes.HasPrefix(line, get) || !bytes.HasSuffix(line, version) || len(line) <= len(get)+len(version) {
		return Request{}, 0, false
	}
	r.Target = line[len(get) : len(line)-len(version)]
	if !isTarget(r.Target) {
		return Request{}, 0, false
	}
	for {
		if line, rest, found = bytes.Cut(rest, lineEnd); !found {
			return Request{}, 0, false
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.Trim(value, " ")
		switch {
		case len(name) == len(line) || !isText(value):
			return Request{}, 0, false
		case equalFold(name, host):
			if r.Host != nil || !isHost(value) {
				return Request{}, 0, false
			}
			r.Host = value
		case equalFold(name, since), equalFold(name, match):
			if r.Since != nil || r.Match != nil || len(value) == 0 {
				return Request{}, 0, false
			}
			if equalFold(name, since) {
				r.Since = value
			} else {
				r.Match = value
			}
		case equalFold(name, stays):
			if !equalFold(value, keepAlive) {
				return Request{}, 0, false
			}
		case equalFold(name, control):
			if !equalFold(value, checked) {
				return Request{}, 0, false
			}
		case !isMeaningless(name):
			return Request{}, 0, false
		}
	}
	if r.Host == nil {
		return Request{}, 0, false
	}
	if r.Target[0] != '/' {
		r.Host = nil
	}
	return r, len(b) - len(rest), true
}

func isMeaningless(name []byte) bool {
	for _, known := range meaningless {
		if equalFold(name, known) {
			return true
		}
	}
	return false
}

// equalFold reports whether b is lower, but for the case of its letters.
func equalFold(b, lower []byte) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// isHost takes less than net/http: names, addresses and ports.
func isHost(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return len(b) > 0
}
