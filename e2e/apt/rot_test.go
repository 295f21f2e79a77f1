package apt

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// rot flips the bits of a byte in the middle of a held file, under the running box.
func (s *site) rot(t *testing.T, data []byte) {
	t.Helper()
	name := digest.Of(data).String()
	f, err := os.OpenFile(filepath.Join(s.box.Data, "blobs", name[:2], name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := len(data) / 2
	_, err = f.WriteAt([]byte{^data[at]}, int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// elsewhere gets a file of the archive as a client at another address than apt's.
func (s *site) elsewhere(t *testing.T, path string) []byte {
	t.Helper()
	proxy, err := url.Parse(s.box.URL)
	if err != nil {
		t.Fatal(err)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DialContext: from.DialContext, DisableKeepAlives: true}}
	resp, err := c.Get(s.mirror.URL("/debian/" + path))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return body
}

// A package rots on the disk of the box. The first client that gets it fails, and has the
// right one when it tries again, as has everybody after it; the mirror is asked once more.
func TestDamagedPackage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "MILLPOND_SWARM=false")
	deb := s.archive.Add(aptest.Package{Name: "rotten", Version: "1.0-1", Size: 3 << 20})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(time.Second)))
	c := s.client(t)
	c.MustApt("update")
	if got := s.elsewhere(t, deb.Path); !bytes.Equal(got, deb.Data) {
		t.Fatalf("the mirror sends %d bytes that are wrong", len(got))
	}
	s.rot(t, deb.Data)
	before := s.mirror.Requests("*/rotten_*")

	out, err := c.Apt(t.Context(), "install", "--download-only", "rotten")
	if err == nil || !strings.Contains(out, "Hash Sum mismatch") {
		t.Fatalf("the client was not sent the damaged file: %v\n%s", err, out)
	}
	for range 2 {
		c.MustApt("install", "--download-only", "rotten")
		if got, err := c.Downloaded(filepath.Base(deb.Path)); err != nil || !bytes.Equal(got, deb.Data) {
			t.Errorf("the client has %d bytes that are wrong: %v", len(got), err)
		}
		c.Clean()
		c.MustApt("update")
	}
	if got := s.elsewhere(t, deb.Path); !bytes.Equal(got, deb.Data) {
		t.Errorf("a client at another address gets %d bytes that are wrong", len(got))
	}
	if n := s.mirror.Requests("*/rotten_*") - before; n != 1 {
		t.Errorf("the mirror was asked %d times for it, want once", n)
	}
	if ready := string(s.box.Get("/readyz")); !strings.Contains(ready, "1 files were found damaged") {
		t.Errorf("the box says nothing of a damaged file: %s", ready)
	}
}

// An index rots. The update of a client that comes for the first time fails, and the next
// one does not.
func TestDamagedIndex(t *testing.T) {
	t.Parallel()
	s := newSite(t, "MILLPOND_SWARM=false")
	s.client(t).MustApt("update")
	var path string
	for _, r := range s.mirror.Log() {
		if strings.Contains(r.Path, "/binary-amd64/") {
			path = strings.TrimPrefix(r.Path, "/debian/")
		}
	}
	s.rot(t, s.elsewhere(t, path))
	s.box.Stop() // which makes it forget who was sent the index
	s.box.Run()
	before := s.mirror.Requests("*/binary-amd64/*")

	c := s.client(t)
	if out, err := c.Apt(t.Context(), "update"); err == nil || !strings.Contains(out, "Hash Sum mismatch") {
		t.Fatalf("the client was not sent the damaged index: %v\n%s", err, out)
	}
	c.MustApt("update")
	c.MustApt("install", "--download-only", "pkg00")
	if n := s.mirror.Requests("*/binary-amd64/*") - before; n != 1 {
		t.Errorf("the mirror was asked %d times for it, want once", n)
	}
}
