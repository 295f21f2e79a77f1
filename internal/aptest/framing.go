package aptest

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Delay waits before the headers.
func Delay(d time.Duration) Fault {
	return func(r *reply, _ *Injection) { r.delay += d }
}

// Header sets a header of the answer over what the mirror would say; "" leaves
// it out. With a Content-Length above the file's the connection ends early.
func Header(name, value string) Fault {
	return func(r *reply, _ *Injection) { r.overrides = append(r.overrides, [2]string{name, value}) }
}

// Cached answers as a cache on the way does, which states an Age, and has the faults
// for requests that it answers with what it holds: all but those with no-cache.
func Cached(faults ...Fault) Fault {
	return func(r *reply, in *Injection) {
		if r.entry.CacheControl == "no-cache" {
			return
		}
		Header("Age", "60")(r, in)
		for _, fault := range faults {
			fault(r, in)
		}
	}
}

// EmptyStatus is Status without the short text.
func EmptyStatus(code int, headers ...string) Fault {
	return func(r *reply, in *Injection) {
		Status(code, headers...)(r, in)
		r.empty = true
	}
}

// OnResume has the faults for requests of a part of a file, by Range.
func OnResume(faults ...Fault) Fault {
	return func(r *reply, in *Injection) {
		if r.entry.Range == "" {
			return
		}
		for _, fault := range faults {
			fault(r, in)
		}
	}
}

// InTurn has one of the faults for each request, in turn; nil is none.
func InTurn(faults ...Fault) Fault {
	return func(r *reply, in *Injection) {
		if fault := faults[(in.hits-1)%len(faults)]; fault != nil {
			fault(r, in)
		}
	}
}

// Raw sends bytes in place of an HTTP answer and closes the connection. BODY in
// the text stands for the file's bytes, CHUNKS for these in one chunk, LENGTH for
// their number and LAST for the last one's.
func Raw(text string) Fault {
	return func(r *reply, _ *Injection) { r.raw = text }
}

// Reset sends bytes as Raw does and resets the connection.
func Reset(text string) Fault {
	return func(r *reply, in *Injection) {
		Raw(text)(r, in)
		r.reset = true
	}
}

// lastRead is how long a client may take to read a raw answer.
const lastRead = 5 * time.Second

// sendRaw takes the connection from the server and sends the raw text.
func (r *reply) sendRaw() {
	conn, _, err := http.NewResponseController(r.w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	size := len(r.body)
	text := strings.NewReplacer("BODY", string(r.body), "LENGTH", strconv.Itoa(size), "LAST", strconv.Itoa(size-1),
		"CHUNKS", strconv.FormatInt(int64(size), 16)+"\r\n"+string(r.body)+"\r\n").Replace(r.raw)
	n, err := io.WriteString(conn, text)
	r.count(n)
	tcp, ok := conn.(*net.TCPConn)
	switch {
	case err != nil || !ok:
	case r.reset:
		_ = tcp.SetLinger(0)
	default:
		// To close while requests of the client wait would be a reset.
		_ = tcp.CloseWrite()
		_ = tcp.SetReadDeadline(time.Now().Add(lastRead))
		_, _ = io.Copy(io.Discard, tcp)
	}
}
