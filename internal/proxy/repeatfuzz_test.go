package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var random = regexp.MustCompile(`(?m)^Date: .*$|\b[A-Z2-7]{8}\b`)

// FuzzRepeat: whatever a client sends, it gets the same from a box that repeats answers and
// from one that does not, and both count and log the same.
func FuzzRepeat(f *testing.F) {
	for _, s := range []string{
		plainRequest, plainRequest + plainRequest, plainRequest[:40], "GET /deb.example.org" + debPath + " HTTP/1.1\r\nHost: x\r\n\r\n",
		strings.Replace(plainRequest, "User-Agent", "Range: bytes=5-\r\nUser-Agent", 1) + plainRequest,
		strings.Replace(plainRequest, "User-Agent", "Connection: close\r\nUser-Agent", 1),
		strings.Replace(plainRequest, "GET", "HEAD", 1) + plainRequest, strings.Replace(plainRequest, "1.1", "1.0", 1),
		strings.Replace(plainRequest, "\r\n\r\n", "\r\nIf-Modified-Since: "+modified.Format(http.TimeFormat)+"\r\n\r\n", 1),
		strings.Replace(plainRequest, ".deb ", ".deb?x ", 1), strings.Replace(plainRequest, "/pool", "/%70ool", 1),
		strings.Replace(plainRequest, "Host", "Content-Length: 3\r\nHost", 1) + "abc" + plainRequest, "\r\n" + plainRequest,
		plainRequest + "10", plainRequest + "100 x", aptCheck + "\r\n",
		aptCheck, aptCheck + plainRequest + aptCheck, strings.Replace(aptCheck, "max-age=0", "no-cache", 1), strings.Replace(aptCheck, "2024", "2023", 1),
		strings.Replace(aptCheck, "If-Modified-Since: ", "If-None-Match: *\r\nX: ", 1), strings.Replace(aptCheck, "Host", "Range: bytes=1-\r\nHost", 1),
		strings.Replace(plainRequest, "Host: deb.example.org", "Host: a/b", 1), strings.ReplaceAll(plainRequest, "\r\n", "\n"),
	} {
		f.Add(s)
	}
	boxes := make([]*repeating, 2)
	for i := range boxes {
		boxes[i] = newRepeating(f, 3000, func(o *Options) {
			o.Repeats = 10 * i
			o.Dialer = dialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("none") })
		})
		for _, path := range []string{debURL, "/deb.example.org" + debPath} {
			for range 2 {
				s := boxes[i].session(f)
				fmt.Fprintf(s, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
				s.answer(f, boxes[i].data)
				s.Close()
				boxes[i].rest(f)
			}
		}
		boxes[i].holdRelease(f)
		for range 2 {
			for _, request := range []string{aptCheck, strings.Replace(aptCheck, "If-Modified-Since: ", "If-None-Match: *\r\nX: ", 1)} {
				s := boxes[i].session(f)
				s.check(f, request)
				s.Close()
				boxes[i].rest(f)
			}
		}
	}
	var read [2]int // lines of each access log
	for i, b := range boxes {
		waitFor(f, "all is logged", func() bool { read[i] = len(b.access.all()); return read[i] == 8 })
	}
	f.Fuzz(func(t *testing.T, sent string) {
		if len(sent) > 8<<10 || strings.Contains(sent, boxes[0].addr) || strings.Contains(sent, boxes[1].addr) {
			return
		}
		var got [2]string
		var counted, same [2]int64
		for i, b := range boxes {
			before, asked := b.ledger.total(), b.fetcher.same.Load()
			c := b.dial(t)
			_, _ = io.WriteString(c, sent) // the box may have refused it by now
			_ = c.CloseWrite()
			answer, err := io.ReadAll(c)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("box %d: %v", i, err)
			}
			c.Close()
			waitFor(t, "all is answered", func() bool { return b.UnderWay() == 0 })
			got[i] = random.ReplaceAllString(string(answer), "…")
			counted[i], same[i] = b.ledger.total()-before, b.fetcher.same.Load()-asked
		}
		if got[0] != got[1] || counted[0] != counted[1] || same[0] != same[1] {
			t.Fatalf("%q: without repeats %d bytes are counted and %d Releases revalidated of\n%s\nwith them %d and %d of\n%s", sent, counted[0], same[0], got[0], counted[1], same[1], got[1])
		}
		var lines [2][]string
		waitFor(t, fmt.Sprintf("the access logs agree on %q", sent), func() bool {
			for i, b := range boxes {
				// A line may come late, after those of the next connection.
				lines[i] = slices.Sorted(slices.Values(b.access.all()[read[i]:]))
			}
			return slices.Equal(lines[0], lines[1])
		})
		read[0], read[1] = read[0]+len(lines[0]), read[1]+len(lines[1])
	})
}
