package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A server that has written all and closed the connection is not done while its
// client has not taken the bytes.
func TestSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if waiting, err := unsent(port); waiting || err != nil {
		t.Fatalf("before a byte was written: %v, %v", waiting, err)
	}
	// Until the buffers of both ends are full.
	server.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	var written int64
	for err == nil {
		var n int
		n, err = server.Write(make([]byte, 64<<10))
		written += int64(n)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*unsentPoll)
	defer cancel()
	if err := sent(ctx, port); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while the client takes nothing: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- sent(t.Context(), port) }()
	if n, err := io.Copy(io.Discard, client); n != written || err != nil {
		t.Errorf("the client got %d bytes of %d: %v", n, written, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
