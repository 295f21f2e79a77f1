// Package apt holds the tests of the built box with the machine's real apt and
// with other clients of archives, Debian's installer among them: against a
// signed archive made for the test, and against the mirror that the machine
// itself uses. Where that mirror does not answer, what needs it fails if CI is
// set in the environment and is skipped if not.
package apt

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// site is an archive with a mirror and a box before it.
type site struct {
	key     *aptest.Key
	archive *aptest.Archive
	mirror  *aptest.Mirror
	box     *box.Box
}

// packages is how many packages the test archive has.
const packages = 70

func newSite(t *testing.T, settings ...string) *site {
	t.Helper()
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	for i := range packages {
		s.archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: "1.0-1", Size: 1000 << (i % 12)})
	}
	s.archive.AddSource(aptest.Source{Name: "pkg00", Version: "1.0-1"})
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now()))
	s.box = box.Start(t, s.settings(t, settings...)...)
	return s
}

// settings are what a box needs for this archive.
func (s *site) settings(t *testing.T, more ...string) []string {
	t.Helper()
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), s.key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"MILLPOND_KEYRING_DIR=" + keys, "MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr(),
	}, more...)
}

// client is a fresh apt that uses the box as its proxy.
func (s *site) client(t *testing.T) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(s.key)
	c.Proxy(s.box.URL)
	c.Sources(s.mirror.Source("/debian", "stable", "main"),
		strings.Replace(s.mirror.Source("/debian", "stable", "main"), "deb ", "deb-src ", 1))
	return c
}

// names are all packages of the test archive.
func names() []string {
	var all []string
	for i := range packages {
		all = append(all, fmt.Sprintf("pkg%02d", i))
	}
	return all
}

// everything is what a client does with an archive.
func everything(t *testing.T, c *aptest.Client) {
	t.Helper()
	c.MustApt("update")
	c.MustApt(append([]string{"install", "--download-only"}, names()...)...)
	c.MustApt("download", "pkg01", "pkg02")
	c.MustApt("source", "pkg00")
}

func TestSecondClientCostsTheMirrorNothing(t *testing.T) {
	s := newSite(t)
	everything(t, s.client(t))
	first := s.box.Summary()
	if first.MirrorBytes == 0 || first.ClientBytes < first.MirrorBytes {
		t.Errorf("after the first client: %+v", first)
	}
	if got := s.mirror.BytesSent("*"); first.MirrorBytes != got {
		t.Errorf("the box counts %d bytes from the mirror, the mirror sent %d", first.MirrorBytes, got)
	}

	s.mirror.ResetLog()
	everything(t, s.client(t))
	for _, r := range s.mirror.Log() {
		if name := filepath.Base(r.Path); name != "InRelease" {
			t.Errorf("the second client made the box ask the mirror for %s", r.Path)
		}
	}
	second := s.box.Summary()
	if sent := s.mirror.BytesSent("*"); second.MirrorBytes-first.MirrorBytes != sent {
		t.Errorf("the box counts %d more bytes from the mirror, the mirror sent %d", second.MirrorBytes-first.MirrorBytes, sent)
	}
	if second.SavedBytes != second.ClientBytes-second.MirrorBytes || second.SavedBytes <= 0 {
		t.Errorf("saved %d, want client %d − mirror %d > 0", second.SavedBytes, second.ClientBytes, second.MirrorBytes)
	}
}

func TestMirrorAway(t *testing.T) {
	s := newSite(t, "MILLPOND_INDEX_TTL=0s")
	everything(t, s.client(t))
	s.mirror.Down()
	everything(t, s.client(t))

	c := s.client(t)
	c.MustApt("update")
	s.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 100})
	out, err := c.Apt(t.Context(), "install", "--download-only", "new")
	if err == nil {
		t.Errorf("apt installed a package that nobody has:\n%s", out)
	}
}

func TestEveryForm(t *testing.T) {
	s := newSite(t)
	mirror := s.mirror.URL("/debian")
	u, err := url.Parse(mirror)
	if err != nil {
		t.Fatal(err)
	}
	for name, uri := range map[string]string{
		"proxy": mirror,
		"path":  s.box.URL + "/" + u.Host + u.Path,
	} {
		t.Run(name, func(t *testing.T) {
			c := s.client(t)
			if name != "proxy" {
				c.Proxy("DIRECT")
			}
			c.Sources("deb "+uri+" stable main", "deb-src "+uri+" stable main")
			everything(t, c)
		})
	}
}

func TestHTTPSForms(t *testing.T) {
	s := newSite(t)
	tls := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	tls.Publish("/debian", s.archive.Publish(time.Now()))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, tls.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	// SSL_CERT_FILE is how any Go program is given an authority.
	b := box.Start(t, s.settings(t, "SSL_CERT_FILE="+ca, "MILLPOND_ALLOW_UPSTREAMS="+tls.Addr())...)
	for name, uri := range map[string]string{
		"HTTPS": "http://HTTPS///" + tls.Addr() + "/debian",
		"https": b.URL + "/https/" + tls.Addr() + "/debian",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.client(t)
			c.Proxy("DIRECT")
			if name == "HTTPS" {
				c.Proxy(b.URL)
			}
			c.Sources("deb "+uri+" stable main", "deb-src "+uri+" stable main")
			everything(t, c)
		})
	}
	t.Run("tunnel", func(t *testing.T) {
		before := b.Summary()
		c := s.client(t)
		c.Proxy(b.URL)
		c.TrustCA(tls.CertPEM())
		c.Sources("deb "+tls.URL("/debian")+" stable main", "deb-src "+tls.URL("/debian")+" stable main")
		everything(t, c)
		after := b.Summary()
		if after.TunnelBytes == before.TunnelBytes || after.ClientBytes != before.ClientBytes || after.MirrorBytes != before.MirrorBytes {
			t.Errorf("tunnelled bytes are not apart: before %+v, after %+v", before, after)
		}
	})
}

// A client follows redirects to an https host whose certificate authority it
// knows and the box does not.
func TestRedirectToUnknownAuthority(t *testing.T) {
	s := newSite(t)
	tls := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	tls.Publish("/debian", s.archive.Publish(time.Now()))
	b := box.Start(t, s.settings(t, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8")...)
	through := func() *aptest.Client {
		c := s.client(t)
		c.Proxy(b.URL)
		return c
	}
	s.mirror.Inject("*.deb", aptest.Redirect(tls.URL("/")+"*"))
	c := through()
	c.MustApt("update")
	if out, err := c.Apt(t.Context(), "install", "--download-only", "pkg01"); err == nil || !strings.Contains(out, "ertificate") {
		t.Errorf("a client that does not know the authority: %v\n%s", err, out)
	}
	c.TrustCA(tls.CertPEM())
	c.MustApt("install", "--download-only", "pkg01", "pkg02")
	s.mirror.Inject("*", aptest.Redirect(tls.URL("/")+"*"))
	c = through()
	c.Sources(s.mirror.Source("/debian", "stable", "main"))
	c.TrustCA(tls.CertPEM())
	c.MustApt("update")
	if n := b.Summary().TunnelBytes; n == 0 {
		t.Error("nothing came in a tunnel")
	}
}

func TestErrorsName(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		name, source string
		harm         func()
		want         []string
	}{
		{"private address", "deb http://127.0.0.2:1/debian stable main", nil, []string{"403", "MILLPOND_ALLOW_UPSTREAMS=127.0.0.2:1"}},
		{"not found", s.mirror.Source("/debian", "nosuch", "main"), nil, []string{"404  Not Found"}},
		{"unreachable", s.mirror.Source("/other", "stable", "main"), s.mirror.Down, []string{"502", "cannot be reached"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.harm != nil {
				c.harm()
			}
			client := s.client(t)
			client.Sources(c.source)
			out, _ := client.Apt(t.Context(), "update")
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("apt does not print %q:\n%s", want, out)
				}
			}
		})
	}
}
