package plain

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, in     string
		target, host string // "" if it is not plain
		rest         string
	}{
		{"apt", "GET http://a.b/x.deb HTTP/1.1\r\nHost: a.b\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\n\r\n", "http://a.b/x.deb", "", ""},
		{"path, and another one behind it", "GET /a.b/x HTTP/1.1\r\nhOST:box:3142\r\nConnection: Keep-Alive\r\n\r\nGET", "/a.b/x", "box:3142", "GET"},
		{"all fields", "GET /x HTTP/1.1\r\nHost: b\r\nAccept: */*\r\nAccept-Language: de\r\nAccept-Encoding: gzip\r\nProxy-Connection: x\r\n\r\n", "/x", "b", ""},
		{"not at its end", "GET /x HTTP/1.1\r\nHost: b\r\n", "", "", ""},
		{"no host", "GET /x HTTP/1.1\r\n\r\n", "", "", ""},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "", "", ""},
		{"empty host", "GET /x HTTP/1.1\r\nHost: \r\n\r\n", "", "", ""},
		{"range", "GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n", "", "", ""},
		{"login", "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\n\r\n", "", "", ""},
		{"a proxy before it", "GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n", "", "", ""},
		{"condition", "GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: x\r\n\r\n", "/x", "a", ""},
		{"apt's check", "GET /x HTTP/1.1\r\nHost: a\r\nCache-Control: max-age=0\r\nIf-Modified-Since: x\r\n\r\n", "/x", "a", ""},
		{"two conditions", "GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: x\r\nIf-Modified-Since: x\r\n\r\n", "", "", ""},
		{"the same twice", "GET /x HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: x\r\nIf-Modified-Since: x\r\n\r\n", "", "", ""},
		{"empty condition", "GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match:\r\n\r\n", "", "", ""},
		{"to be checked", "GET /x HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache\r\n\r\n", "", "", ""},
		{"close", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", "", ""},
		{"body", "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "", "", ""},
		{"continued line", "GET /x HTTP/1.1\r\nHost: a\r\nAccept: a\r\n b\r\n\r\n", "", "", ""},
		{"space before a colon", "GET /x HTTP/1.1\r\nHost : a\r\n\r\n", "", "", ""},
		{"line without a colon", "GET /x HTTP/1.1\r\nHost: a\r\nAccept\r\n\r\n", "", "", ""},
		{"line ends without CR", "GET /x HTTP/1.1\nHost: a\n\n", "", "", ""},
		{"HTTP/1.0", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "", "", ""},
		{"HEAD", "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", "", "", ""},
		{"space in the target", "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", "", "", ""},
		{"no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "", "", ""},
		{"control character", "GET /x HTTP/1.1\r\nHost: a\r\nAccept: \x01\r\n\r\n", "", "", ""},
	} {
		r, size, ok := Parse([]byte(test.in))
		if ok != (test.target != "") || ok && (string(r.Target) != test.target || string(r.Host) != test.host || test.in[size:] != test.rest) {
			t.Errorf("%s: got %q, %q, %d, %v", test.name, r.Target, r.Host, size, ok)
		}
	}
}

// FuzzParse: what is plain net/http takes as well, as the same request, with the same end
// and without anything that matters in it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"GET http://a.b/x.deb HTTP/1.1\r\nHost: a.b\r\nUser-Agent: x\r\n\r\nGET /y HTTP/1.1\r\n", "GET /x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nCache-Control: Max-Age=0\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET //%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=1-\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, size, ok := Parse(b)
		if !ok {
			return
		}
		in := bufio.NewReader(bytes.NewReader(b))
		want, err := http.ReadRequest(in)
		if err != nil {
			// The target is left to whoever compares it with those of answered requests.
			return
		}
		if behind := len(b) - size; in.Buffered() != behind && behind < 4096-size {
			t.Fatalf("%q ends before %d bytes, for net/http before %d", b, behind, in.Buffered())
		}
		if want.Method != http.MethodGet || !want.ProtoAtLeast(1, 1) || want.Close || want.ContentLength != 0 || len(want.TransferEncoding) > 0 || want.RequestURI != string(got.Target) {
			t.Fatalf("%q is %+v for net/http", b, want)
		}
		if strings.HasPrefix(want.RequestURI, "/") && !strings.HasPrefix(want.RequestURI, "//") && want.Host != string(got.Host) {
			t.Fatalf("%q is for %q, for net/http %q", b, got.Host, want.Host)
		}
		if s, m := want.Header.Get("If-Modified-Since"), want.Header.Get("If-None-Match"); s != string(got.Since) || m != string(got.Match) {
			t.Fatalf("%q has the conditions %q and %q, for net/http %q and %q", b, got.Since, got.Match, s, m)
		}
		for name, values := range want.Header {
			switch name {
			case "If-Modified-Since", "If-None-Match":
				if len(values) > 1 {
					t.Fatalf("%q has %s twice", b, name)
				}
			case "Cache-Control":
				if slices.ContainsFunc(values, func(v string) bool { return !strings.EqualFold(v, "max-age=0") }) {
					t.Fatalf("%q is to be answered in another way", b)
				}
			case "User-Agent", "Accept", "Accept-Language", "Accept-Encoding", "Proxy-Connection", "Connection":
			default:
				t.Fatalf("%q has %s", b, name)
			}
		}
	})
}
