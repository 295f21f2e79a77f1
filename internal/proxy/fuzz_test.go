package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// FuzzConnection sends anything on a connection. The box answers in HTTP or closes,
// and what a client sends is never a fault of the box.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{
		aptRequest(debURL),
		aptRequest(headURL) + aptRequest(debURL),
		"GET /deb.example.org" + debPath + " HTTP/1.0\r\n\r\n",
		"GET http://HTTPS///deb.example.org" + debPath + " HTTP/1.1\r\nHost: x\r\nRange: bytes=5-,1-2\r\n\r\n",
		"CONNECT deb.example.org:443 HTTP/1.1\r\nHost: deb.example.org:443\r\n\r\n\x16\x03\x01",
		"GET " + debURL + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"POST " + debURL + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\nVia: 1.1 millpond-test\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	b := newBox(func(o *Options) {
		o.Log = slog.New(slog.DiscardHandler)
		o.Dialer = dialer(func(_ context.Context, hostport string) (net.Conn, error) {
			return nil, &mirror.UnreachableError{Host: hostport, Err: errors.New("no network")}
		})
	})
	b.files[debURL] = gives([]byte("a package"), ledger.FromStore)
	b.serve(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := b.dial(t)
		defer c.Close()
		if _, err := c.Write(data); err != nil {
			return // the box had enough
		}
		if err := c.CloseWrite(); err != nil {
			return
		}
		from := bufio.NewReader(c)
		for {
			resp, err := http.ReadResponse(from, &http.Request{Method: "GET"})
			if err != nil {
				return
			}
			if resp.StatusCode == http.StatusInternalServerError {
				t.Errorf("%q: %s", data, resp.Status)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return
			}
		}
	})
}
