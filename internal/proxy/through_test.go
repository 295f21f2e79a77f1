package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"millpond/internal/front"
	"millpond/internal/mirror"
)

// serveByName runs b as the box does where DNS leads deb.example.org to it.
func serveByName(t *testing.T, b *box) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	b.serveOn(t, front.Listener(l, front.Options{Through: b.Proxy, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // open tunnels are cut
		_ = b.Shutdown(ctx)
	})
}

// waitFor polls a condition.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}

// A client that speaks TLS with an archive gets the archive, not the box, and what
// passes is counted as in a tunnel.
func TestPass(t *testing.T) {
	t.Parallel()
	far := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by "+r.Host) }))
	defer far.Close()
	lines := make(accessed, 1)
	b := newBox(func(o *Options) {
		o.Hosts, o.AccessLog = mustHosts(t, "deb.example.org"), lines
		o.Dialer = dialer(func(ctx context.Context, hostport string) (net.Conn, error) {
			if hostport != "deb.example.org:443" {
				t.Errorf("dialled %s", hostport)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", far.Listener.Addr().String())
		})
	})
	serveByName(t, b)
	conn := tls.Client(b.dial(t), &tls.Config{ServerName: "deb.example.org", InsecureSkipVerify: true})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !conn.ConnectionState().PeerCertificates[0].Equal(far.Certificate()) {
		t.Error("the certificate is another one than the archive's")
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if string(body) != "by deb.example.org" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	conn.Close()
	line := lines.next(t) // after the tunnel is over
	b.ledger.mu.Lock()
	opened, through := b.ledger.opened["deb.example.org:443"], b.ledger.through["deb.example.org:443"]
	b.ledger.mu.Unlock()
	if opened != 1 || through < int64(len(body)) {
		t.Errorf("%d tunnels with %d bytes are counted", opened, through)
	}
	if line.Method != "CONNECT" || line.URL != "deb.example.org:443" || line.Outcome != wasTunnel || line.Bytes != through {
		t.Errorf("the access log has %+v", line)
	}
}

// Where a tunnel is forbidden, or leads back, the connection ends and the log says why.
func TestPassRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *Options, self *string)
		logged string
	}{
		"tunnels off":  {func(o *Options, _ *string) { o.Tunnels = mirror.Hosts{} }, "MILLPOND_TUNNELS=true"},
		"another host": {func(o *Options, _ *string) { o.Tunnels = mustHosts(t, "other.example.org") }, "not in MILLPOND_TUNNELS"},
		"a stranger":   {func(o *Options, _ *string) { o.AllowClients = Clients{netip.MustParsePrefix("192.0.2.0/24")} }, "MILLPOND_ALLOW_CLIENTS"},
		"a circle": {func(o *Options, self *string) {
			o.Dialer = dialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", *self)
			})
		}, "MILLPOND_RESOLVER"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var self string
			b := newBox(func(o *Options) {
				o.Hosts = mustHosts(t, "deb.example.org")
				tt.change(o, &self)
			})
			serveByName(t, b)
			self = b.addr
			conn := tls.Client(b.dial(t), &tls.Config{ServerName: "deb.example.org"})
			if err := conn.HandshakeContext(t.Context()); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("the handshake: %v", err)
			}
			waitFor(t, "the log says why", func() bool { return strings.Contains(b.logged.String(), tt.logged) })
			if n := strings.Count(b.logged.String(), "not passed on"); n != 1 {
				t.Errorf("%d refusals:\n%s", n, b.logged.String())
			}
		})
	}
}
