package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
)

// TestHalfClose: a client that has sent all and says so gets its answers, the
// refused too, and the connection ends behind them.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("data"), 100_000)
	b := newBox(nil)
	asked, ready := make(chan struct{}), make(chan struct{})
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		close(asked)
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return gives(data, ledger.FromMirror)(ctx)
	}
	b.files[headURL] = gives([]byte("head"), ledger.FromMirror)
	b.serve(t)
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := time.Now()
	for _, url := range []string{debURL, headURL} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", url)
	}
	conn.(*net.TCPConn).CloseWrite()
	<-asked
	// The end of what the client sends has arrived behind its requests.
	time.AfterFunc(200*time.Millisecond, func() { close(ready) })
	got, err := io.ReadAll(conn)
	if err != nil || strings.Count(string(got), "HTTP/1.1 200") != 2 || !bytes.Contains(got, data) || !bytes.HasSuffix(got, []byte("head")) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if took := time.Since(begun); took > halfTime/2 {
		t.Errorf("the connection ended after %v", took)
	}
	for _, url := range []string{headURL, "http://10.0.0.5/debian/dists/x/Release"} {
		resp, err := halfClosed(b.addr, url)
		if want := map[bool]int{true: 200, false: 403}[url == headURL]; err != nil || resp != want {
			t.Errorf("%s: %d, %v", url, resp, err)
		}
	}
}

// halfClosed requests url alone.
func halfClosed(addr, url string) (status int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", url)
	conn.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(string(all), "HTTP/1.1 %d", &status)
	return status, err
}
