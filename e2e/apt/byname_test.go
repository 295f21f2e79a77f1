package apt

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/nameserver"
	"millpond/internal/aptest"
)

// The addresses of a site whose DNS leads an archive's name to the box.
const (
	namedArchive = "archive.example.org"
	namedMirror  = "127.77.18.2" // where the archive is
	namedBox     = "127.77.18.3"
	siteDNS      = "127.77.18.53" // has the box for the archive's name
	publicDNS    = "127.77.18.54" // has the archive itself
)

// unaware is an apt that knows the site's DNS server and nothing of the box.
type unaware struct {
	*aptest.Client
	resolv string // its /etc/resolv.conf
}

func newUnaware(t *testing.T, s *site, scheme string) *unaware {
	t.Helper()
	c := &unaware{aptest.NewClient(t), filepath.Join(t.TempDir(), "resolv.conf")}
	writeFile(t, c.resolv, "nameserver "+siteDNS+"\n")
	c.Trust(s.key)
	c.Sources("deb "+scheme+"://"+namedArchive+"/debian stable main", "deb-src "+scheme+"://"+namedArchive+"/debian stable main")
	return c
}

// apt runs apt-get, in a view of the files in which resolv.conf is its own.
func (c *unaware) apt(ctx context.Context, args ...string) (string, error) {
	return c.Run(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" /etc/resolv.conf && exec apt-get -q -y "$@"`, c.resolv}, args...)...)
}

// everything is what a client does with an archive.
func (c *unaware) everything(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{{"update", "--error-on=any"}, append([]string{"install", "--download-only"}, names()...), {"source", "pkg00"}} {
		if out, err := c.apt(t.Context(), args...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// newNamedSite is a site with a box at the usual ports, whose own names come from a DNS
// server. The archive has its name by http and by https.
func newNamedSite(t *testing.T, resolver string) (s *site, cert []byte) {
	t.Helper()
	nameserver.Serve(t, siteDNS, nameserver.Zone{Addresses: map[string]string{namedArchive: namedBox}})
	return newNamedSiteWithout(t, resolver)
}

// newNamedSiteWithout is newNamedSite without the site's DNS server.
func newNamedSiteWithout(t *testing.T, resolver string) (s *site, cert []byte) {
	t.Helper()
	need(t, "unshare")
	s = &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	for _, name := range names() {
		s.archive.Add(aptest.Package{Name: name, Version: "1.0-1", Size: 20000})
	}
	s.archive.AddSource(aptest.Source{Name: "pkg00", Version: "1.0-1"})
	generation := s.archive.Publish(time.Now())
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{Listen: namedMirror + ":80"})
	s.mirror.Publish("/debian", generation)
	secure := aptest.NewMirror(t, aptest.MirrorOptions{Listen: namedMirror + ":443", TLS: true})
	secure.Publish("/debian", generation)
	nameserver.Serve(t, publicDNS, nameserver.Zone{Addresses: map[string]string{namedArchive: namedMirror}})
	s.box = box.Start(t, s.settings(t, "MILLPOND_LISTEN="+namedBox+":3142,"+namedBox+":80,"+namedBox+":443",
		"MILLPOND_HOSTS="+namedArchive, "MILLPOND_RESOLVER="+resolver, "MILLPOND_ALLOW_UPSTREAMS=127.77.18.0/24")...)
	return s, secure.CertPEM()
}

// TestByName has a stock apt without any setting get packages from a box that the
// archive's name leads to, by http from the cache and by https through a tunnel.
func TestByName(t *testing.T) {
	s, cert := newNamedSite(t, publicDNS)
	newUnaware(t, s, "http").everything(t)
	onlyTheBox(t, s)
	sent := s.mirror.BytesSent("*.deb")
	if sent == 0 {
		t.Error("the mirror sent no packages")
	}
	newUnaware(t, s, "http").everything(t)
	if again := s.mirror.BytesSent("*.deb"); again != sent {
		t.Errorf("the second client cost the mirror %d bytes of packages", again-sent)
	}

	before := s.box.Summary()
	secure := newUnaware(t, s, "https")
	secure.TrustCA(cert)
	secure.Set("Acquire::https::Verify-Host", "false") // the certificate is for another name
	secure.everything(t)
	after := s.box.Summary()
	if after.TunnelBytes-before.TunnelBytes < sent || after.ClientBytes != before.ClientBytes {
		t.Errorf("%d bytes went through tunnels, want %d or more", after.TunnelBytes-before.TunnelBytes, sent)
	}
	resp, err := http.Get("http://" + namedBox + "/api/v1/summary")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the box's own API at its address: %s", resp.Status)
	}
}

// TestByNameInACircle has the box follow the site's DNS, which leads it to itself: the
// client is told, and which setting helps.
func TestByNameInACircle(t *testing.T) {
	s, _ := newNamedSite(t, siteDNS)
	out, err := newUnaware(t, s, "http").apt(t.Context(), "update", "--error-on=any")
	if err == nil || !strings.Contains(out, "508") || !strings.Contains(out, "MILLPOND_RESOLVER") {
		t.Errorf("apt says, with %v:\n%s", err, out)
	}
	if out, err := newUnaware(t, s, "https").apt(t.Context(), "update", "--error-on=any"); err == nil {
		t.Errorf("apt has updated:\n%s", out)
	}
	if log := s.box.Log(); !strings.Contains(log, "not passed on") || !strings.Contains(log, "MILLPOND_RESOLVER") {
		t.Errorf("the log does not tell of the https source:\n%s", log)
	}
}
