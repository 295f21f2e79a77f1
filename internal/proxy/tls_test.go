package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// In TLS the end of a connection is said, and then a file in HTTP/1.0 is complete.
func TestBrokenBodyInTLS(t *testing.T) {
	t.Parallel()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(nil)
	b.serveOn(t, l)
	b.files[debURL] = unsized(pattern(100_000), io.ErrNoProgress)
	b.files[headURL] = unsized(pattern(100_000), nil)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for url, whole := range map[string]bool{debURL: false, headURL: true} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		c := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", url)
		if got, err := io.ReadAll(c); (err == nil) != whole {
			t.Errorf("%s: %d bytes, %v, look complete", url, len(got), err)
		}
	}
}
