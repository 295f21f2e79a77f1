package aptest

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestFramingFaults(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	whole := func(a answer) bool { return a.err == nil && bytes.Equal(a.body, data) }
	for _, tt := range []struct {
		name    string
		fault   Fault
		headers []string
		ok      func(answer) bool
	}{
		{"delay", Delay(time.Millisecond), nil, whole},
		{"header", Header("ETag", `W/"weak"`), nil, func(a answer) bool { return whole(a) && a.Header.Get("ETag") == `W/"weak"` }},
		{"no header", Header("Last-Modified", ""), nil, func(a answer) bool { return whole(a) && a.Header.Get("Last-Modified") == "" }},
		{"length too large", Header("Content-Length", "200000"), nil, func(a answer) bool { return a.err == io.ErrUnexpectedEOF }},
		{"length too small", Raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nBODY"), nil, func(a answer) bool { return a.err == nil && len(a.body) == 10 }},
		{"empty status", EmptyStatus(503, "Retry-After", "7"), nil, func(a answer) bool {
			return a.err == nil && a.StatusCode == 503 && len(a.body) == 0 && a.Header.Get("Retry-After") == "7"
		}},
		{"on resume, none", OnResume(Status(416)), nil, whole},
		{"on resume", OnResume(Status(416)), []string{"Range", "bytes=10-"}, func(a answer) bool { return a.err == nil && a.StatusCode == 416 }},
		{"raw", Raw("HTTP/1.0 200 OK\r\n\r\nBODY"), nil, whole},
		{"raw length", Raw("HTTP/1.1 206 OK\r\nContent-Range: bytes 0-LAST/LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY"), nil, whole},
		{"in turn", InTurn(Status(404), nil), nil, func(a answer) bool { return a.StatusCode == 404 && whole(get(t, c, m.URL(deb))) }},
		{"raw chunks", Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\nCHUNKS0\r\nX-End: 1\r\n\r\n"), nil, func(a answer) bool {
			return whole(a) && a.Trailer.Get("X-End") == "1"
		}},
		{"raw garbage", Raw("garbage\r\n\r\n"), nil, func(a answer) bool { return a.Response == nil }},
		{"reset", Reset("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), nil, func(a answer) bool { return a.err != nil }},
	} {
		in := m.Inject("*.deb", tt.fault)
		if got := get(t, c, m.URL(deb), tt.headers...); !tt.ok(got) {
			t.Errorf("%s: %+v, %d bytes, %v", tt.name, got.Response, len(got.body), got.err)
		}
		in.Release()
		if got := get(t, c, m.URL(deb)); !whole(got) {
			t.Errorf("after %s: %d bytes, %v; want an honest answer", tt.name, len(got.body), got.err)
		}
	}
}
