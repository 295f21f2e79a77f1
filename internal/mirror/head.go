package mirror

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// headConn is a connection that rewrites the heads of HTTP/1 answers which net/http
// refuses and apt accepts: old and home-made servers send two Content-Lengths, or
// "Transfer-Encoding: identity". What does not begin as an answer passes unchanged,
// and so does all of TLS, where a read may begin anywhere.
type headConn struct {
	net.Conn
	expects atomic.Bool // a request of HTTP/1 was sent, and its answer's head has not come yet
	ready   []byte      // to be read before more is received; of the one reader
	err     error       // to be returned after ready; likewise
}

// Write implements io.Writer. net/http sends a request only when it has read the
// answer to the one before, and a Client sends nothing but GETs. Bytes that do not
// begin with GET are TLS, or the rest of a long request, which may have been answered
// already.
func (c *headConn) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte(http.MethodGet+" ")) {
		c.expects.Store(true)
	}
	return c.Conn.Write(b)
}

// Read implements io.Reader.
func (c *headConn) Read(b []byte) (int, error) {
	if len(c.ready) == 0 && c.err == nil {
		n, err := c.Conn.Read(b)
		if n == 0 || !c.expects.Load() {
			return n, err
		}
		c.err = err
		c.receive(bytes.Clone(b[:n]))
	}
	n := copy(b, c.ready)
	if c.ready = c.ready[n:]; len(c.ready) > 0 {
		return n, nil
	}
	err := c.err
	c.ready, c.err = nil, nil
	return n, err
}

// receive reads heads up to the end of the first that is not an interim answer's.
// got are the bytes that have come already.
func (c *headConn) receive(got []byte) {
	for begun := 0; ; {
		// Some servers send an extra line end after the previous answer.
		if blank := got[begun:]; len(blank) > 0 {
			got = append(got[:begun], bytes.TrimLeft(blank, "\r\n")...)
		}
		head, ended := headOf(got[begun:])
		switch {
		case !beginsAnswer(got[begun:]) || len(got) > maxHeader || !ended && c.err != nil:
			c.expects.Store(false)
			c.ready = got
			return
		case ended:
			right := putRight(head)
			got = slices.Replace(got, begun, begun+len(head), right...)
			begun += len(right)
			if !isInterim(right) {
				c.expects.Store(false)
				c.ready = got
				return
			}
		default:
			b := make([]byte, 4<<10)
			var n int
			n, c.err = c.Conn.Read(b)
			got = append(got, b[:n]...)
		}
	}
}

const protocol = "HTTP"

// beginsAnswer reports whether b may be the beginning of an answer.
func beginsAnswer(b []byte) bool {
	n := min(len(b), len(protocol))
	return strings.EqualFold(string(b[:n]), protocol[:n])
}

// headOf returns b up to the end of the empty line that ends a head, if it is there.
func headOf(b []byte) (head []byte, ended bool) {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return nil, false
		}
		i += n + 1
		if n == 0 && i > 1 || n == 1 && b[i-2] == '\r' {
			return b[:i], true
		}
	}
}

func isInterim(head []byte) bool {
	_, status, _ := bytes.Cut(head, []byte(" "))
	return len(status) > 3 && status[0] == '1' && string(status[:3]) != "101"
}

// putRight returns head if net/http reads it as apt does, else a head that says what
// apt reads in it. The connection is not used again after such an answer, whose end
// is a guess.
func putRight(head []byte) []byte {
	h := parseHead(head)
	length, right := readLengths(h.lengths)
	chunked := slices.ContainsFunc(h.codings, func(v string) bool { return strings.EqualFold(v, "chunked") })
	old := strings.HasPrefix(h.status, "HTTP/1.0")
	if right && !h.odd && (len(h.codings) == 0 || len(h.codings) == 1 && chunked && !old) {
		return head
	}
	if chunked && old {
		h.status = "HTTP/1.1" + h.status[len("HTTP/1.0"):]
	}
	lines := append([]string{h.status}, slices.DeleteFunc(h.others, func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return strings.EqualFold(name, "Connection")
	})...)
	if chunked {
		lines = append(lines, "Transfer-Encoding: chunked")
	} else if length != "" {
		lines = append(lines, "Content-Length: "+length)
	}
	return []byte(strings.Join(append(lines, "Connection: close"), "\r\n") + "\r\n\r\n")
}

// answerHead is the head of an answer.
type answerHead struct {
	status           string
	lengths, codings []string // values of Content-Length and Transfer-Encoding
	others           []string // the other fields' lines
	odd              bool     // these are not all that it has, or the status line was another
}

// parseHead leaves out the fields that net/http refuses: the box reads none of them.
func parseHead(head []byte) (h answerHead) {
	lines := strings.Split(strings.TrimSuffix(string(head), "\n"), "\n")
	lines = lines[:len(lines)-1] // the empty one
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	lines = unfold(lines)
	h.status = statusLine(lines[0])
	h.odd = h.status != lines[0]
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch {
		case ok && strings.EqualFold(name, "Content-Length"):
			h.lengths = append(h.lengths, value)
		case ok && strings.EqualFold(name, "Transfer-Encoding"):
			h.codings = append(h.codings, value)
		case ok && !isFolded(line) && !(isName(name) && isValue(value)):
			h.odd = true
		default:
			h.others = append(h.others, line)
		}
	}
	return h
}

// statusLine puts a version where there is none, and writes it in capitals.
func statusLine(line string) string {
	line = strings.ToUpper(line[:min(len(line), len(protocol))]) + line[min(len(line), len(protocol)):]
	if rest, ok := strings.CutPrefix(line, "HTTP "); ok {
		return "HTTP/1.0 " + rest
	}
	return line
}

// readLengths returns the Content-Length of an answer, "" if it has none: of
// several the last, and of a value the digits that it begins with, 0 without one.
// right says that net/http reads the same.
func readLengths(values []string) (length string, right bool) {
	if len(values) == 0 {
		return "", true
	}
	last := values[len(values)-1]
	digits := strings.TrimPrefix(last, "+")
	digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	if digits == "" {
		digits = "0"
	}
	if _, err := strconv.ParseInt(digits, 10, 64); err != nil || strings.HasPrefix(last, "-") {
		return last, true // nobody reads it
	}
	same := slices.IndexFunc(values, func(v string) bool { return v != last }) < 0
	return digits, same && last == digits
}

// unfold joins continuation lines to their fields, as net/http does: they must not
// become parts of other fields.
func unfold(lines []string) []string {
	all := lines[:1]
	for _, line := range lines[1:] {
		if isFolded(line) && len(all) > 1 {
			all[len(all)-1] += " " + strings.Trim(line, " \t")
		} else {
			all = append(all, line)
		}
	}
	return all
}

// isFolded reports whether a line continues the field of the previous one.
func isFolded(line string) bool { return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") }

// isName reports whether net/http takes a field with that name.
func isName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~ "
	odd := func(r rune) bool { return r > '~' || !isAlphanumeric(byte(r)) && !strings.ContainsRune(marks, r) }
	return name != "" && strings.IndexFunc(name, odd) < 0
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// isValue reports whether net/http takes a field with that value.
func isValue(value string) bool {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return strings.IndexFunc(value, control) < 0
}
