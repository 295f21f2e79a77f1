package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// aptRequest is a request as apt sends it.
func aptRequest(url string) string {
	return "GET " + url + " HTTP/1.1\r\nHost: deb.example.org\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\n\r\n"
}

func numbered(i int) string { return fmt.Sprintf("%spool/main/%d.deb", archiveURL, i) }

// pipelineOf is n requests sent at once.
func pipelineOf(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(aptRequest(numbered(i)))
	}
	return all.String()
}

// scanned gives a scanner the bytes of a Read and returns the URLs of the
// requests that it found behind another.
func scanned(s *scanner, read string) (urls []string) {
	s.scan([]byte(read), func(header []byte) {
		_, rest, _ := strings.Cut(string(header), " ")
		url, _, _ := strings.Cut(rest, " ")
		urls = append(urls, url)
	})
	return urls
}

func TestScanner(t *testing.T) {
	t.Parallel()
	a, b, c := aptRequest("/a"), aptRequest("/b"), aptRequest("/c")
	with := func(line string) string { return "GET /x HTTP/1.1\r\nHost: x\r\n" + line + "\r\n\r\n" }
	for _, tt := range []struct {
		name, read string
		want       []string
		blind      bool
	}{
		{"one", a, nil, false},
		{"three", a + b + c, []string{"/b", "/c"}, false},
		{"one and a beginning", a + b[:20], nil, false},
		{"bare line feeds", strings.ReplaceAll(a+b+c, "\r", ""), []string{"/b", "/c"}, false},
		{"what keeps a connection open", a + with("Connection: Keep-Alive") + b, []string{"/x", "/b"}, false},
		{"a range", a + with("Range: bytes=5-") + b, []string{"/x", "/b"}, false},
		{"long, but not too long", a + with("X: "+strings.Repeat("x", maxLine-3)) + b, []string{"/x", "/b"}, false},
		{"HEAD", a + b + "HEAD /h HTTP/1.1\r\n\r\n" + c, []string{"/b"}, true},
		{"POST", a + b + "POST /h HTTP/1.1\r\n\r\n" + c, []string{"/b"}, true},
		{"CONNECT", a + "CONNECT deb.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n" + b + c, nil, true},
		{"HTTP/1.0", a + "GET /h HTTP/1.0\r\n\r\n" + b, nil, true},
		{"HTTP/0.9", a + "GET /h\r\n" + b, nil, true},
		{"TLS", "\x16\x03\x01\x02\x00\n" + a + b, nil, true},
		{"a continued line", a + with("X: y\r\n z") + b, nil, true},
		{"a continued line with a colon", a + with("X: y\r\n\tContent: z") + b, nil, true},
		{"a length", a + with("CONTENT-length: 0") + b, nil, true},
		{"the first with a length", with("Content-Length: 300") + a + b, nil, true},
		{"chunks", a + with("Transfer-Encoding: chunked") + b, nil, true},
		{"the last on its connection", a + with("Connection: close") + b, nil, true},
		{"an upgrade", a + with("Upgrade: h2c") + b, nil, true},
		{"no field", a + with("nothing") + b, nil, true},
		{"no name", a + with(": x") + b, nil, true},
		{"a space before the colon", a + with("Content-Length : 3") + b, nil, true},
		{"an empty line too many", a + "\r\n" + b + c, nil, true},
		{"too long", a + with("X: "+strings.Repeat("x", maxLine-2)) + b, nil, true},
		{"a request line too long", a + aptRequest("/"+strings.Repeat("x", maxLine)) + b, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s scanner
			if got := scanned(&s, tt.read); !slices.Equal(got, tt.want) || s.blind != tt.blind {
				t.Errorf("got %q, blind %v; want %q, %v", got, s.blind, tt.want, tt.blind)
			}
			// In whatever pieces it came, what comes next is judged alike.
			whole := scanned(&s, a+b+c)
			for cut := range tt.read {
				var s scanner
				scanned(&s, tt.read[:cut])
				scanned(&s, tt.read[cut:])
				blind := s.blind
				if got := scanned(&s, a+b+c); blind != tt.blind || !slices.Equal(got, whole) {
					t.Fatalf("cut at %d: blind %v, then %q; want %v, %q", cut, blind, got, tt.blind, whole)
				}
			}
		})
	}
}

// Of a pipeline that comes in two pieces all requests are anticipated but the
// one that each piece completes first: for that net/http has been waiting.
func TestScannerSplit(t *testing.T) {
	t.Parallel()
	const n = 10
	all := pipelineOf(n)
	size := len(all) / n
	for cut := range all {
		var s scanner
		got := append(scanned(&s, all[:cut]), scanned(&s, all[cut:])...)
		var want []string
		for i := range n {
			if i > 0 && i != cut/size {
				want = append(want, numbered(i))
			}
		}
		if !slices.Equal(got, want) || s.blind {
			t.Fatalf("cut at %d: got %q, want %q", cut, got, want)
		}
	}
	var s scanner
	for i := range all {
		if got := scanned(&s, all[i:i+1]); got != nil {
			t.Fatalf("byte %d by itself: %q", i, got)
		}
	}
	if s.blind || s.inside || len(s.line) > 0 {
		t.Errorf("after all bytes one by one: %+v", s)
	}
}

// A line without an end takes no more memory than its limit.
func TestScannerEndless(t *testing.T) {
	t.Parallel()
	var s scanner
	scanned(&s, "GET /")
	for range 100 {
		scanned(&s, strings.Repeat("x", 1000))
		if cap(s.line) > 2*maxLine {
			t.Fatalf("it holds %d bytes", cap(s.line))
		}
	}
	if !s.blind || s.line != nil {
		t.Errorf("blind %v with %d bytes", s.blind, len(s.line))
	}
}

// served returns the URLs that net/http makes of well-formed bytes, and
// whether they are.
func served(sent []byte) (urls []string, wellFormed bool) {
	r := bufio.NewReader(bytes.NewReader(sent))
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return urls, err == io.EOF || err == io.ErrUnexpectedEOF
		}
		urls = append(urls, req.RequestURI)
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return urls, err == io.ErrUnexpectedEOF
		}
		if req.Close {
			return urls, true
		}
	}
}

// FuzzScanner: what is anticipated of well-formed bytes is, in order, part of
// what net/http serves, and memory is bounded whatever comes.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(pipelineOf(3)), uint16(100))
	f.Add([]byte("GET /a HTTP/1.1\r\nContent-Length: 30\r\n\r\n"+aptRequest("/body")+aptRequest("/b")), uint16(9))
	f.Add([]byte(aptRequest("/a")+"GET /b HTTP/1.1\nHost: x\nConnection: close\n\n"+aptRequest("/c")), uint16(70))
	f.Add([]byte(aptRequest("/a")+"GET /b HTTP/1.1\r\nX: y\r\n z\r\n\r\n"), uint16(0))
	f.Add([]byte(aptRequest("/a")+"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+aptRequest("/c")), uint16(0))
	f.Fuzz(func(t *testing.T, sent []byte, cut uint16) {
		whole, pieces := new(scanner), new(scanner)
		ahead := scanned(whole, string(sent))
		at := min(int(cut), len(sent))
		fewer := append(scanned(pieces, string(sent[:at])), scanned(pieces, string(sent[at:]))...)
		if whole.blind != pieces.blind || whole.inside != pieces.inside || !bytes.Equal(whole.line, pieces.line) {
			t.Errorf("cut at %d: %+v, whole: %+v", at, pieces, whole)
		}
		if cap(whole.line) > 2*maxLine || cap(pieces.line) > 2*maxLine {
			t.Errorf("%d and %d bytes are kept", cap(whole.line), cap(pieces.line))
		}
		if !partOf(fewer, ahead) {
			t.Errorf("cut at %d: anticipated %q, whole %q", at, fewer, ahead)
		}
		if urls, ok := served(sent); ok && !partOf(ahead, urls) {
			t.Errorf("anticipated %q, served %q", ahead, urls)
		}
	})
}

// partOf reports whether some are among all, in their order.
func partOf(some, all []string) bool {
	for _, s := range some {
		i := slices.Index(all, s)
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// BenchmarkScanner is what reading ahead adds to a Read.
func BenchmarkScanner(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			requests := []byte(pipelineOf(n))
			var s scanner
			b.SetBytes(int64(len(requests)))
			b.ReportAllocs()
			for b.Loop() {
				s.scan(requests, func([]byte) {})
			}
		})
	}
}
