package proxy

import (
	"bytes"
	"strings"
)

// maxLine is how long a line of a header may be, in bytes, for a scanner to
// remember the beginning of it.
const maxLine = 8 << 10

// scanner finds the ends of requests in the bytes that a client sends, which
// it is given as they are read. It knows only what apt sends, GET requests of
// HTTP/1.1 without a body; at anything else it is blind for good. What it
// takes for a request net/http still has to parse.
type scanner struct {
	blind  bool
	inside bool   // behind a request line, before the empty line
	ended  int    // how many requests have ended
	line   []byte // of a line that an earlier Read broke off in
}

// scan takes the bytes of one Read and calls ahead with the header, up to its
// empty line, of each request that net/http will not look at until it has
// served another. Those are all that end in b but the first: net/http reads
// only when it has used up what it has, so that one it serves at once. The
// others lie in b as a whole, and nothing of a header needs to be kept.
func (s *scanner) scan(b []byte, ahead func(header []byte)) {
	begin, first := 0, true
	for at := 0; at < len(b) && !s.blind; {
		n := bytes.IndexByte(b[at:], '\n') + 1
		if n == 0 {
			s.keep(b[at:])
			return
		}
		end := s.next(b[at : at+n])
		at += n
		if !end {
			continue
		}
		if !first {
			ahead(b[begin:at])
		}
		begin, first = at, false
	}
}

// isAtStart reports whether nothing has come of a request that has not ended.
func (s *scanner) isAtStart() bool { return !s.blind && !s.inside && len(s.line) == 0 }

// next takes a line, or the rest of one, and reports whether it ends a header.
func (s *scanner) next(line []byte) (end bool) {
	if len(s.line) > 0 {
		s.keep(line)
		line, s.line = s.line, s.line[:0]
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	switch {
	case s.blind || len(line) > maxLine:
		s.close()
	case s.inside && len(line) == 0:
		s.inside = false
		s.ended++
		return true
	case s.inside && isPlainField(line), !s.inside && isPlainGet(line):
		s.inside = true
	default:
		s.close()
	}
	return false
}

// keep remembers the beginning of a line.
func (s *scanner) keep(part []byte) {
	if len(s.line)+len(part) > maxLine+len("\r\n") {
		s.close()
		return
	}
	s.line = append(s.line, part...)
}

// close makes s blind and lets its memory go.
func (s *scanner) close() { s.blind, s.line = true, nil }

func isPlainGet(line []byte) bool {
	return bytes.HasPrefix(line, []byte("GET ")) && bytes.HasSuffix(line, []byte(" HTTP/1.1"))
}

// framing are the fields that say something about where a request ends, or
// what comes behind it.
var framing = []string{"Content-Length", "Transfer-Encoding", "Upgrade", "Expect"}

// isPlainField reports whether a line is a field that leaves a request without
// a body and the connection open. A continued line (RFC 9112, section 5.2) is
// none.
func isPlainField(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || bytes.ContainsAny(line[:colon], " \t") {
		return false
	}
	name, value := line[:colon], line[colon+1:]
	for _, f := range framing {
		if equalFold(name, f) {
			return false
		}
	}
	return !equalFold(name, "Connection") || equalFold(bytes.TrimSpace(value), "keep-alive")
}

// equalFold is strings.EqualFold; the lengths keep the conversion of a long b
// from allocating.
func equalFold(b []byte, s string) bool { return len(b) == len(s) && strings.EqualFold(string(b), s) }
