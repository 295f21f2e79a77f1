package proxy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxReason is how long a reason phrase may be in bytes, before the request ID.
	// apt keeps 359.
	maxReason = 300
	// The end of a refused connection: how long, and for how many bytes, the
	// client's further requests are read so that their arrival does not reset
	// the connection while the answer is under way.
	lingerTime  = time.Second
	lingerBytes = 256 << 10
	// refuseTime is how long a client may take for a refusal.
	refuseTime = 10 * time.Second
)

// relay sends the mirror's own verdict as an ordinary answer; the connection
// stays open.
func (a answer) relay(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Cache-Control", "no-cache")
	http.Error(w, a.cause, a.status)
}

// refuse answers with the cause and the request ID in the status line, since apt prints
// nothing else of an error, and ends the connection. net/http has no way to set a
// reason phrase, so the connection is taken from it; answers to earlier
// requests in a pipeline have left by then, and the client repeats the later
// ones on a new connection.
func (a answer) refuse(w *response, r *http.Request, id string) {
	body := fmt.Sprintf("%s\n\n%s\n\nRequest %s: %s %s\n", a.cause, a.advice, id, r.Method, shown(r.URL))
	if a.final {
		body = ""
	}
	h := w.Header()
	maps.Copy(h, a.header)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	conn, _, err := w.control.Hijack()
	if err != nil { // no plain HTTP/1 connection: the body has to do
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, body)
		return
	}
	defer conn.Close()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s (%s)\r\n", a.status, reason(a.cause), id)
	h.Write(&b) // replaces line breaks in values
	b.WriteString("\r\n")
	if r.Method != http.MethodHead {
		b.WriteString(body)
	}
	conn.SetDeadline(time.Now().Add(refuseTime))
	if _, err := conn.Write(b.Bytes()); err != nil {
		w.outcome.what = wasLeft
		return
	}
	w.status, w.outcome.first = a.status, time.Now()
	w.outcome.end, w.written = w.outcome.first, int64(len(body))
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, conn, lingerBytes)
	}
}

// reason makes a reason phrase of s: printable ASCII, so that nothing in it
// can end the line, and not over maxReason bytes.
func reason(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	if len(b) > maxReason {
		b = append(b[:maxReason-3], "..."...)
	}
	return string(b)
}
