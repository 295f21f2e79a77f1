package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// twins opens listeners on the same port of 127.0.0.2, served by h, and of
// 127.0.0.1, whose connections are counted.
func twins(t *testing.T, h http.HandlerFunc) (port string, wrong *atomic.Int32) {
	t.Helper()
	for range 20 {
		good, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(good.Addr().String())
		bad, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			good.Close()
			continue // the port is taken there
		}
		srv := &httptest.Server{Listener: good, Config: &http.Server{Handler: h}}
		srv.Start()
		wrong = new(atomic.Int32)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := bad.Accept()
				if err != nil {
					return
				}
				wrong.Add(1)
				c.Close()
			}
		}()
		t.Cleanup(func() {
			srv.Close()
			bad.Close()
			<-done
		})
		return port, wrong
	}
	t.Fatal("no port free on both addresses")
	return "", nil
}

// TestRebinding holds that the address checked is the address dialled: a name
// that gives an allowed address to the first look-up and another to the next is
// looked up once, and refused when it is looked up again.
func TestRebinding(t *testing.T) {
	t.Parallel()
	port, wrong := twins(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // so that the second Get dials
		io.WriteString(w, "right")
	})
	names := &nameServer{answers: [][]netip.Addr{addrs("127.0.0.2"), addrs("127.0.0.1")}}
	c := New(Options{Policy: mustPolicy(t, "127.0.0.2")})
	defer c.Close()
	c.resolver = names.resolver()
	url := "http://rebind.example.org:" + port + "/"

	resp, err := c.Get(t.Context(), Request{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "right" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if names.asked != 1 {
		t.Errorf("%d look-ups, want 1", names.asked)
	}
	_, err = c.Get(t.Context(), Request{URL: url})
	var r *RefusedError
	if !errors.As(err, &r) || r.Addr != "127.0.0.1" || r.Host != "rebind.example.org" {
		t.Errorf("after rebinding: %v, want a refusal of 127.0.0.1", err)
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d connections to the refused address", n)
	}
}

func TestSomeAddressesRefused(t *testing.T) {
	t.Parallel()
	for _, list := range [][]netip.Addr{
		addrs("127.0.0.1", "127.0.0.2"), addrs("127.0.0.2", "127.0.0.1"), addrs("::1", "127.0.0.2"),
	} {
		t.Run(fmt.Sprint(list), func(t *testing.T) {
			t.Parallel()
			port, wrong := twins(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "right") })
			c := New(Options{Policy: mustPolicy(t, "127.0.0.2")})
			defer c.Close()
			c.resolver = (&nameServer{answers: [][]netip.Addr{list}}).resolver()
			conn, err := c.Dial(t.Context(), "deb.example.org:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.RemoteAddr().String(); got != "127.0.0.2:"+port || wrong.Load() != 0 {
				t.Errorf("dialled %s and the refused one %d times", got, wrong.Load())
			}
		})
	}
}

// TestAllowedAddressDown: where one address is refused and the allowed one is
// closed, the host is unreachable, not refused.
func TestAllowedAddressDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	c := New(Options{Policy: mustPolicy(t, "127.0.0.2")})
	defer c.Close()
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("127.0.0.1", "127.0.0.2")}}).resolver()
	_, err = c.Dial(t.Context(), "deb.example.org:"+port)
	var away *UnreachableError
	if !errors.As(err, &away) || away.Host != "deb.example.org:"+port {
		t.Errorf("got %v, want it unreachable", err)
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	defer c.Close()
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("127.0.0.1", "10.1.2.3")}}).resolver()
	for _, tt := range []struct{ hostport, setting string }{
		{"127.0.0.1:443", "127.0.0.1"},
		{"[::1]:443", "::1"},
		{"[::ffff:127.0.0.1]:443", "127.0.0.1"},
		{"[fd00::1]:8443", "[fd00::1]:8443"},
		{"deb.example.org:22", "deb.example.org:22"},
		{"deb.example.org:443", "deb.example.org"},
		{"169.254.169.254:80", "169.254.169.254"},
		{"localhost:80", "localhost"},
		{"0x7f000001:80", "0x7f000001"}, // which some resolvers take for 127.0.0.1
	} {
		_, err := c.Dial(t.Context(), tt.hostport)
		var r *RefusedError
		if !errors.As(err, &r) || r.Setting != "MILLPOND_ALLOW_UPSTREAMS="+tt.setting {
			t.Errorf("%s: %v, want it refused unless %s", tt.hostport, err, tt.setting)
		}
	}
	for _, hostport := range []string{"deb.example.org", "deb.example.org:", "deb.example.org:0", "deb.example.org:70000", "::1:80", "[deb.example.org]:80", ""} {
		if conn, err := c.Dial(t.Context(), hostport); err == nil {
			conn.Close()
			t.Errorf("%q was dialled", hostport)
		}
	}
}

func TestDial(t *testing.T) {
	t.Parallel()
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "tunnelled") }, Options{})
	conn, err := c.Dial(t.Context(), srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(conn); !strings.HasSuffix(string(b), "tunnelled") || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Dial(ctx, srv.Listener.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	srv, c := newLoopback(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }, Options{Offline: true})
	if _, err := c.Get(t.Context(), Request{URL: srv.URL}); !errors.Is(err, ErrOffline) {
		t.Errorf("Get: %v", err)
	}
	if _, err := c.Dial(t.Context(), srv.Listener.Addr().String()); !errors.Is(err, ErrOffline) {
		t.Errorf("Dial: %v", err)
	}
	if _, err := c.Get(t.Context(), Request{URL: "http://10.1.2.3/"}); !errors.Is(err, ErrOffline) {
		t.Errorf("Get of a refused host: %v", err)
	}
}
