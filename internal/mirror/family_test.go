package mirror

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// conn6 is a connection that says it is to an IPv6 address.
type conn6 struct{ net.Conn }

func (conn6) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80} }

// newDualStack is a client of two hosts behind one name: by IPv6, unless
// told not to, and by IPv4.
func newDualStack(t *testing.T, six, four http.HandlerFunc) *Client {
	c := newPiped(t, six, Options{})
	dial6 := c.pool.Load().any.DialContext
	c.pool.Load().any.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial6(ctx, network, addr)
		return conn6{conn}, err
	}
	other := newPiped(t, four, Options{})
	c.pool.Load().only4.DialContext = other.pool.Load().any.DialContext
	return c
}

// TestSilentIPv6: a host that connects by IPv6 and says nothing is asked by IPv4,
// and for a while at once.
func TestSilentIPv6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var six atomic.Int32
		c := newDualStack(t, func(w http.ResponseWriter, r *http.Request) {
			six.Add(1)
			<-r.Context().Done()
		}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "file") })
		for i, want := range []time.Duration{silentAfter, 0, 0} {
			begun := time.Now()
			got, err := fetchAt(t.Context(), c, "/")
			if got != "file" || err != nil || time.Since(begun) != want {
				t.Errorf("%d: got %q, %v after %v, want it after %v", i, got, err, time.Since(begun), want)
			}
		}
		if six.Load() != 1 {
			t.Errorf("%d requests by IPv6", six.Load())
		}
		time.Sleep(without6)
		if got, err := fetchAt(t.Context(), c, "/"); got != "file" || err != nil || six.Load() != 2 {
			t.Errorf("later: %q, %v, %d requests by IPv6", got, err, six.Load())
		}
	})
}

// TestSlowIPv6: a host that is slow and not silent sends by the one that answers
// first, in full.
func TestSlowIPv6(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ six, four, want time.Duration }{
		{time.Second, 0, time.Second},
		{20 * time.Second, 30 * time.Second, 20 * time.Second},
		{30 * time.Second, 20 * time.Second, 20*time.Second + silentAfter},
		{20*time.Second + silentAfter, 20 * time.Second, 20*time.Second + silentAfter},
		{20 * time.Second, -1, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			long := strings.Repeat("file", 100_000)
			answer := func(after time.Duration) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if after < 0 {
						panic(http.ErrAbortHandler)
					}
					time.Sleep(after)
					io.WriteString(w, long)
				}
			}
			c := newDualStack(t, answer(tt.six), answer(tt.four))
			begun := time.Now()
			got, err := fetchAt(t.Context(), c, "/")
			if got != long || err != nil || time.Since(begun) != tt.want {
				t.Errorf("%+v: %d bytes, %v after %v", tt, len(got), err, time.Since(begun))
			}
		})
	}
}

// TestStallByIPv6: what stalls by IPv6 is resumed by IPv4.
func TestStallByIPv6(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newDualStack(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "hello")
			flush(w)
			<-r.Context().Done()
		}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by IPv4") })
		if _, err := fetchAt(t.Context(), c, "/"); err == nil {
			t.Error("no stall")
		}
		if got, err := fetchAt(t.Context(), c, "/"); got != "by IPv4" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestSilent6IsBounded(t *testing.T) {
	t.Parallel()
	var s silent6
	for i := range 3 * maxDown {
		s.note(strings.Repeat("x", i))
	}
	if len(s.until) > maxDown {
		t.Errorf("%d hosts are remembered", len(s.until))
	}
}

// TestSilentIPv6OnTheWire is TestSilentIPv6 with sockets, names and a policy.
func TestSilentIPv6OnTheWire(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for silentAfter")
	}
	t.Parallel()
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "file") }, Options{Policy: mustPolicy(t, "deb.example.org")})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	silent, err := net.Listen("tcp6", net.JoinHostPort("::1", port)) // the kernel connects it
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { silent.Close() })
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("::1", "127.0.0.1")}}).resolver()
	for i := range 2 {
		begun := time.Now()
		resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org:" + port + "/"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "file" || err != nil || (time.Since(begun) >= silentAfter) != (i == 0) {
			t.Errorf("%d: %q, %v after %v", i, b, err, time.Since(begun))
		}
	}
}
