package mirror

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Heads that net/http refuses are read as apt reads them.
func TestHeads(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\n"
	for name, tt := range map[string]struct{ answer, body, err string }{
		"two lengths, the last one right": {answer: ok + "Content-Length: 3\nContent-Length: 5\n\nhello", body: "hello"},
		"two lengths, the same":           {answer: ok + "Content-Length: 5\nContent-Length: 5\n\nhello", body: "hello"},
		"two lengths, the last one short": {answer: ok + "Content-Length: 5\nContent-Length: 3\n\nhello", body: "hel"},
		"length that is no number":        {answer: ok + "Content-Length: many\n\nhello", body: ""},
		"length with a unit":              {answer: ok + "Content-Length: 5 bytes\n\nhello", body: "hello"},
		"list of lengths":                 {answer: ok + "Content-Length: 5, 5\n\nhello", body: "hello"},
		"length below zero":               {answer: ok + "Content-Length: -5\n\nhello", err: "Content-Length"},
		"length past all":                 {answer: ok + "Content-Length: 99999999999999999999\n\nhello", err: "Content-Length"},
		"identity":                        {answer: ok + "Transfer-Encoding: identity\nContent-Length: 5\n\nhello", body: "hello"},
		"chunked twice":                   {answer: ok + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", body: "hello"},
		"chunked by HTTP/1.0":             {answer: "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", body: "hello"},
		"no version":                      {answer: "HTTP 200 OK\nContent-Length: 5\n\nhello", body: "hello"},
		"version in lower case":           {answer: "http/1.1 200 OK\nContent-Length: 5\n\nhello", body: "hello"},
		"length with a sign":              {answer: ok + "Content-Length: +5\n\nhello", body: "hello"},
		"line ends before":                {answer: "\n\n" + ok + "Content-Length: 5\n\nhello", body: "hello"},
		"name that is none":               {answer: ok + "X(Y): 1\n: 2\nContent-Length: 5\n\nhello", body: "hello"},
		"control character":               {answer: ok + "X: a\x01b\nContent-Length: 5\n\nhello", body: "hello"},
		"folded field":                    {answer: ok + "X: a\n b\nContent-Length: 5\n\nhello", body: "hello"},
		"folded length":                   {answer: ok + "Content-Length:\n 5\nX: a\n\nhello", body: "hello"},
		"folded, and put right":           {answer: ok + "Connection: a,\n b\nContent-Length: 5 bytes\n\nhello", body: "hello"},
		"chunked and a space":             {answer: ok + "Transfer-Encoding: chunked \n\n5\nhello\n0\n\n", body: "hello"},
		"after interim answers":           {answer: "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early\nLink: x\n\n" + ok + "Content-Length: 3\nContent-Length: 5\n\nhello", body: "hello"},
		"lines without CR":                {answer: "HTTP 200 OK|Content-Length: 5||hello", body: "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := strings.ReplaceAll(strings.ReplaceAll(tt.answer, "\n", "\r\n"), "|", "\n")
			for _, piece := range []int{len(answer), 1} { // all at once, and byte after byte
				srv, c := newLoopback(t, pieces(answer, piece), Options{})
				resp, err := c.Get(t.Context(), Request{URL: srv.URL})
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("got %v, want an error with %q", err, tt.err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != tt.body || err != nil {
					t.Errorf("read %q, %v, want %q", body, err, tt.body)
				}
			}
		})
	}
}

// Nothing is taken from what comes after anything but a request: within TLS a read
// may begin with a line end, and HTTP/2 writes all the time.
func TestHeadsOfRequestsOnly(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"\x17\x03\x03":          "\r\nHTTP 200 OK\r\n\r\n", // of TLS
		"X-Last: of a long one": "\r\nHTTP 200 OK\r\n\r\n",
		"GET / HTTP/1.1\r\n":    "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n",
	} {
		near, far := net.Pipe()
		c := headConn{Conn: near}
		go func() {
			if _, err := io.ReadFull(far, make([]byte, len(sent))); err != nil {
				t.Error(err)
			}
			io.WriteString(far, "\r\nHTTP 200 OK\r\n\r\n")
			far.Close()
		}()
		if _, err := io.WriteString(&c, sent); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(&c); string(got) != want || err != nil {
			t.Errorf("after %q: %q, %v, want %q", sent, got, err, want)
		}
	}
}

// pieces sends an answer in pieces of n bytes.
func pieces(answer string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		for rest := answer; rest != ""; rest = rest[min(n, len(rest)):] {
			io.WriteString(conn, rest[:min(n, len(rest))])
		}
	}
}

// What is put right net/http reads, or refuses as it did, and it is put right once.
// What it reads as it is says the same afterwards.
func FuzzHead(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP 200 OK\n\n", "http/1.0 200\nTransfer-Encoding: chunked\n\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nTransfer-Encoding: identity\r\n folded\r\n\r\n", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length:\r\n 5\r\nA(: b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\nA(: b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		head, ended := headOf(b)
		if !ended || !beginsAnswer(head) {
			return
		}
		right := putRight(head)
		if end, ok := headOf(right); !ok || len(end) != len(right) {
			t.Fatalf("%q became %q, which is no head", head, right)
		}
		if again := putRight(right); !bytes.Equal(again, right) {
			t.Errorf("%q became %q, and then %q", head, right, again)
		}
		if bytes.Equal(head, right) {
			return
		}
		before, err1 := readAnswer(head)
		after, err2 := readAnswer(right)
		switch {
		case err2 == nil && !after.Close:
			t.Errorf("%q became %q, after which the connection is used again", head, right)
		case err1 != nil || !before.ProtoAtLeast(1, 1): // net/http ignores codings there
		case err2 != nil || after.ContentLength != before.ContentLength || !slices.Equal(after.TransferEncoding, before.TransferEncoding) ||
			after.Header.Get("ETag") != before.Header.Get("ETag"):
			t.Errorf("%q became %q: %v, then %v, %v", head, right, before, after, err2)
		}
	})
}

func readAnswer(head []byte) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
}
