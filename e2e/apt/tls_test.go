package apt

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// With a certificate of its own the box serves apt in TLS, as a proxy and by
// rewritten sources, and on the same port in the clear.
func TestTLS(t *testing.T) {
	s := newSite(t)
	s.box.Stop()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certFile, string(cert))
	writeFile(t, keyFile, string(key))
	s.box = box.Start(t, s.settings(t, "MILLPOND_TLS_CERT="+certFile+","+keyFile)...)
	secure := strings.Replace(s.box.URL, "http:", "https:", 1)

	proxied := s.client(t)
	proxied.Proxy(secure)
	proxied.TrustCA(cert)
	everything(t, proxied)
	proxied.Clean()
	proxied.TrustCA(s.key.Public()) // no certificate at all
	if out, err := proxied.Apt(t.Context(), "update", "--error-on=any"); err == nil {
		t.Errorf("apt takes a box that it cannot know:\n%s", out)
	}

	rewritten := aptest.NewClient(t)
	rewritten.Trust(s.key)
	rewritten.TrustCA(cert)
	uri := secure + "/" + s.mirror.Addr() + "/debian"
	rewritten.Sources("deb "+uri+" stable main", "deb-src "+uri+" stable main")
	everything(t, rewritten)

	everything(t, s.client(t))
	sent := s.mirror.BytesSent("*.deb")
	if counted := s.box.Summary(); counted.ClientBytes < 3*sent || sent == 0 {
		t.Errorf("the mirror sent %d bytes of packages, and three clients got %d bytes", sent, counted.ClientBytes)
	}
}
