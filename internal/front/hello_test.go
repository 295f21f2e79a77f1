package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// through passes connections for one name on: it says whose they are, and ends them.
type through struct {
	name string
	got  chan passed
}

type passed struct {
	client, name string
	hello, all   []byte
}

func newThrough(name string) *through { return &through{name, make(chan passed, 1)} }

func (p *through) HasName(name string, port int) bool { return name == p.name && port == 443 }

func (p *through) Pass(conn net.Conn, name string, hello []byte) {
	defer conn.Close()
	all := make([]byte, len(hello)+len("more"))
	n, _ := io.ReadFull(conn, all)
	p.got <- passed{addrOf(conn.RemoteAddr().String()).String(), name, hello, all[:n]}
}

// helloFor is what a client sends first to the host of a name.
func helloFor(t testing.TB, name string) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""}).Handshake()
	}()
	b := make([]byte, maxHello)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	near.Close()
	<-done
	return b[:n]
}

func TestPassedOnByName(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	hello := helloFor(t, "deb.example.org")
	for _, certificate := range []*Certificate{nil, c} {
		p := newThrough("deb.example.org")
		e := newEcho(t, Options{Proxies: named, Through: p, Certificate: certificate})
		for _, before := range []string{"", header(t, 2, proxyproto.PROXY, "10.0.0.7:99")} {
			conn := e.dial(t)
			// In pieces, as the network may deliver it.
			for _, piece := range []string{before + string(hello[:3]), string(hello[3:50]), string(hello[50:]) + "more"} {
				if _, err := io.WriteString(conn, piece); err != nil {
					t.Fatal(err)
				}
			}
			got := <-p.got
			want := "127.0.0.1"
			if before != "" {
				want = "10.0.0.7"
			}
			if got.client != want || got.name != "deb.example.org" || !bytes.Equal(got.hello, hello) || string(got.all) != string(hello)+"more" {
				t.Errorf("%d bytes of %s for %s, want %d of %s", len(got.all), got.client, got.name, len(hello)+4, want)
			}
		}
		if got := e.ask(t, "", ""); got != "200 127.0.0.1" {
			t.Errorf("in the clear: %s", got)
		}
	}
}

// inRecords is a ClientHello of one record in records of these sizes, and one with the
// rest.
func inRecords(hello []byte, sizes ...int) (all []byte) {
	message := hello[5:]
	for _, n := range append(sizes, len(message)) {
		n = min(n, len(message))
		all = append(append(all, 22, 3, 1, byte(n>>8), byte(n)), message[:n]...)
		message = message[n:]
	}
	return all
}

// A hello that is spread over records is taken whole: the records of two clients may
// differ in the last one only.
func TestHelloInRecords(t *testing.T) {
	t.Parallel()
	p := newThrough("deb.example.org")
	e := newEcho(t, Options{Through: p})
	for _, sizes := range [][]int{{1}, {4}, {1, 1, 1, 1}, {60}, {6, 100}} {
		hello := inRecords(helloFor(t, "deb.example.org"), sizes...)
		if _, err := e.dial(t).Write(append(bytes.Clone(hello), "more"...)); err != nil {
			t.Fatal(err)
		}
		if got := <-p.got; !bytes.Equal(got.hello, hello) || string(got.all) != string(hello)+"more" {
			t.Errorf("in records of %v: a hello of %d bytes, want %d; %d bytes in all", sizes, len(got.hello), len(hello), len(got.all))
		}
	}
}

// Other names get the box's certificate, if it has one.
func TestNotPassedOn(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	p := newThrough("deb.example.org")
	for _, name := range []string{"box.example.org", ""} {
		e := newEcho(t, Options{Through: p, Certificate: c})
		conn := tls.Client(e.dial(t), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if !conn.ConnectionState().PeerCertificates[0].Equal(c.current.Load().Leaf) {
			t.Errorf("%q: another certificate", name)
		}
		conn.Close()
		without := newEcho(t, Options{Through: p})
		raw := without.dial(t)
		if _, err := raw.Write(helloFor(t, name)); err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(raw); len(b) > 0 {
			t.Errorf("%q, without a certificate: %q", name, b)
		}
	}
}

// A hello without end is not kept.
func TestLongHello(t *testing.T) {
	t.Parallel()
	e := newEcho(t, Options{Through: newThrough("deb.example.org")})
	c := e.dial(t)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	record := append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 0x4000)...)
	record[5], record[6] = 1, 0xff // a ClientHello of 16 MB
	for sent := 0; sent < 4*maxHello; sent += len(record) {
		if _, err := c.Write(record); err != nil {
			return
		}
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection stays open: %v", err)
	}
}

// The bound of a hello is this package's, below the one that TLS has of its own.
func TestHelloIsBounded(t *testing.T) {
	t.Parallel()
	r := &recorder{Conn: &conn{TCPConn: fuzzConn{Reader: bytes.NewReader(make([]byte, 4*(32<<10)))}}}
	n, err := io.Copy(io.Discard, r)
	if n != 32<<10 || len(r.read) != 32<<10 || !errors.Is(err, errLongHello) {
		t.Errorf("%d bytes are read and %d kept, %v", n, len(r.read), err)
	}
}

// FuzzHello reads the beginning of a connection: no byte is lost, and none is waited
// for beyond the bound.
func FuzzHello(f *testing.F) {
	f.Add(helloFor(f, "deb.example.org"))
	f.Add(helloFor(f, ""))
	f.Add([]byte{22, 3, 1, 0, 0})
	f.Add([]byte{22, 3, 1, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := &conn{TCPConn: fuzzConn{Reader: bytes.NewReader(sent)}}
		name, hello, err := c.readHello(context.Background())
		if err != nil {
			return
		}
		if !bytes.HasPrefix(sent, hello) || !strings.Contains(string(sent), name) {
			t.Errorf("a name %q and a hello that were not sent", name)
		}
		if again, _ := io.ReadAll(struct{ io.Reader }{c}); !bytes.Equal(again, sent) {
			t.Errorf("read %d bytes again of %d", len(again), len(sent))
		}
	})
}

// fuzzConn is a connection that only reads.
type fuzzConn struct {
	TCPConn
	*bytes.Reader
}

func (c fuzzConn) Read(b []byte) (int, error)          { return c.Reader.Read(b) }
func (c fuzzConn) ReadFrom(r io.Reader) (int64, error) { return 0, io.ErrUnexpectedEOF }
func (c fuzzConn) Close() error                        { return nil }
func (c fuzzConn) RemoteAddr() net.Addr                { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
func (c fuzzConn) SetDeadline(time.Time) error         { return nil }
