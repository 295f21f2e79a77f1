package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/front"
	"millpond/internal/mirror"
)

// upstream is a listener that f serves each connection of, and the Dialer that
// leads there.
func upstream(t *testing.T, f func(c *net.TCPConn)) Dialer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c.(*net.TCPConn))
			}()
		}
	}()
	return dialer(func(ctx context.Context, hostport string) (net.Conn, error) {
		if hostport != "deb.example.org:443" {
			return nil, fmt.Errorf("dialled %s", hostport)
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	})
}

// connect opens a tunnel; early is sent in the same packet as the request.
func (b *box) connect(t *testing.T, early string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	return connectOn(t, b.dial(t), early)
}

// connectFrom is connect for a client with an address of this machine.
func (b *box) connectFrom(t *testing.T, addr, early string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	c, err := d.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return connectOn(t, c.(*net.TCPConn), early)
}

func connectOn(t *testing.T, c *net.TCPConn, early string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	io.WriteString(c, "CONNECT deb.example.org:443 HTTP/1.1\r\nHost: deb.example.org:443\r\n\r\n"+early)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %s", resp.Status)
	}
	return c, r
}

// await returns when the tunnels are in a state that nothing outside tells of.
func (b *box) await(state func(*tunnels) bool) {
	for {
		b.tunnels.mu.Lock()
		reached := state(&b.tunnels)
		b.tunnels.mu.Unlock()
		if reached {
			return
		}
		runtime.Gosched()
	}
}

// Either side may end first and still get the rest of the other.
func TestTunnelHalfClose(t *testing.T) {
	t.Parallel()
	down := pattern(1 << 20)
	heard := make(chan string, 1)
	b := newBox(func(o *Options) {
		o.Dialer = upstream(t, func(c *net.TCPConn) {
			up, _ := io.ReadAll(c) // up to the client's end
			heard <- string(up)
			c.Write(down)
		})
	}).serve(t)
	c, r := b.connect(t, "early ")
	io.WriteString(c, "late")
	c.CloseWrite()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != string(down) {
		t.Errorf("%d bytes came down, %v; want %d", len(got), err, len(down))
	}
	if up := <-heard; up != "early late" {
		t.Errorf("%q went up", up)
	}
	if err := b.Shutdown(t.Context()); err != nil { // waits for the count
		t.Error(err)
	}
	if want := int64(len("early late") + len(down)); b.ledger.tunnelled != want || b.ledger.total() != 0 {
		t.Errorf("%d bytes counted as tunnelled and %d as delivered, want %d and none", b.ledger.tunnelled, b.ledger.total(), want)
	}
	if host := "deb.example.org:443"; b.ledger.opened[host] != 1 || b.ledger.through[host] != b.ledger.tunnelled {
		t.Errorf("by host there are %v, %v", b.ledger.opened, b.ledger.through)
	}
}

func TestTunnelUpstreamEnds(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	b := newBox(func(o *Options) {
		o.Dialer = upstream(t, func(c *net.TCPConn) {
			c.CloseWrite()
			up, _ := io.ReadAll(c)
			heard <- string(up)
		})
	}).serve(t)
	c, r := b.connect(t, "")
	if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
	io.WriteString(c, "still here")
	c.CloseWrite()
	if up := <-heard; up != "still here" {
		t.Errorf("%q went up", up)
	}
}

func TestTunnelRefused(t *testing.T) {
	t.Parallel()
	other, err := mirror.ParseHosts([]string{"other.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"off", func(o *Options) { o.Tunnels = mirror.Hosts{} }, "403 Refused by millpond: CONNECT tunnels are off, MILLPOND_TUNNELS=true would allow them"},
		{"not on the list", func(o *Options) { o.Tunnels = other },
			"403 Refused by millpond: no tunnel, deb.example.org:443 is not in MILLPOND_TUNNELS"},
		{"dial refused", func(o *Options) {
			o.Dialer = dialer(func(context.Context, string) (net.Conn, error) {
				return nil, &mirror.RefusedError{Host: "deb.example.org", Addr: "10.0.0.1", Reason: "10.0.0.1 is a private address", Setting: "MILLPOND_ALLOW_UPSTREAMS=deb.example.org"}
			})
		}, "403 Refused by millpond: host deb.example.org: 10.0.0.1 is a private address, MILLPOND_ALLOW_UPSTREAMS=deb.example.org would allow it"},
		{"unreachable", func(o *Options) {
			o.Dialer = dialer(func(context.Context, string) (net.Conn, error) {
				return nil, &mirror.UnreachableError{Host: "deb.example.org:443", Err: errors.New("no route to host")}
			})
		}, "502 millpond: mirror deb.example.org:443 cannot be reached: no route to host"},
	} {
		b := newBox(tt.change).serve(t)
		got := b.raw(t, "CONNECT deb.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
		line, _, _ := strings.Cut(got, "\r\n")
		if line, _ = cutID(line); line != "HTTP/1.1 "+tt.want {
			t.Errorf("%s: got  %q\nwant %q", tt.name, line, tt.want)
		}
	}
}

// A list of hosts is for the others.
func TestTunnelHosts(t *testing.T) {
	t.Parallel()
	hosts, err := mirror.ParseHosts([]string{"*.example.org:443"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(func(o *Options) {
		o.Dialer = upstream(t, func(c *net.TCPConn) { io.Copy(c, c) })
		o.Tunnels = hosts
	}).serve(t)
	c, r := b.connect(t, "to and fro")
	c.CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "to and fro" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, to := range []string{"deb.example.org:8443", "example.org:443", "deb.example.net:443", "10.0.0.5:443"} {
		want := "HTTP/1.1 403 Refused by millpond: no tunnel, " + to + " is not in MILLPOND_TUNNELS ("
		if got := b.raw(t, "CONNECT "+to+" HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The client with the most tunnels loses the one in which nothing passes.
func TestTunnelsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Dialer = upstream(t, func(c *net.TCPConn) { io.Copy(c, c) }) })
	b.tunnels.shares = front.NewShares(3)
	b.serve(t)
	echo := func(c net.Conn, r *bufio.Reader) {
		t.Helper()
		io.WriteString(c, "x")
		if _, err := r.ReadByte(); err != nil {
			t.Errorf("a tunnel ended: %v", err)
		}
	}
	small, smallReads := b.connectFrom(t, "127.0.0.2", "")
	first, firstReads := b.connect(t, "")
	_, silentReads := b.connect(t, "")
	echo(first, firstReads)
	third, thirdReads := b.connect(t, "")
	if _, err := silentReads.ReadByte(); err == nil {
		t.Error("the silent tunnel still gives bytes")
	}
	echo(first, firstReads)
	echo(third, thirdReads)
	echo(small, smallReads)
	b.await(func(open *tunnels) bool { return len(open.open) == 3 })
}

func TestTunnelShutdown(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Dialer = upstream(t, func(c *net.TCPConn) { io.Copy(c, c) }) }).serve(t)
	_, r := b.connect(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Shutdown(ctx) }()
	b.await(func(open *tunnels) bool { return open.closed })
	if got := b.raw(t, "CONNECT deb.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 503 millpond: the box is shutting down (") {
		t.Errorf("a tunnel during shutdown: %q", got)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel still gives bytes")
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown again: %v", err)
	}
}

// A tunnel in which one side is busy is not idle.
func TestTunnelIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		b := newBox(func(o *Options) {
			o.Dialer = dialer(func(context.Context, string) (net.Conn, error) { return near, nil })
		})
		inBubble(t, b, func(c net.Conn) {
			io.WriteString(c, "CONNECT deb.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, int64(len("HTTP/1.1 200 Connection established\r\n\r\n")))), &http.Request{Method: "CONNECT"})
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			for range 10 {
				time.Sleep(tunnelIdle - time.Second)
				far.Write([]byte("x"))
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					t.Fatalf("a busy tunnel was cut: %v", err)
				}
			}
			begun := time.Now()
			if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(begun) != tunnelIdle {
				t.Errorf("an idle tunnel: %v after %v", err, time.Since(begun))
			}
		})
		far.Close()
	})
}
