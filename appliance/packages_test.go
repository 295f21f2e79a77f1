package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// newClientAt is newClient from an address of this machine.
func newClientAt(t *testing.T, proxy, addr string) *client {
	c := newClient(t, proxy)
	c.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}).DialContext
	return c
}

// ask reads an answer of the box's API.
func ask[T any](t *testing.T, b *box, path string) (v T) {
	t.Helper()
	c := newClient(t, "")
	defer c.CloseIdleConnections()
	resp, body := c.get(t, http.MethodGet, b.url+"/api/v1/"+path)
	if err := json.Unmarshal(body, &v); resp.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("GET %s: %s, %v: %s", path, resp.Status, err, body)
	}
	return v
}

// What two clients fetch is told of by package: who asked, what it saved, which
// versions are held and where they came from; also after a restart.
func TestPackageOfTwoClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 300_000, 5000)
	environ := s.environ(t.TempDir())
	b := start(t, environ)
	deb, size := s.debs[0], int64(len(s.debs[0].Data))
	first, second := newClientAt(t, b.url, "127.0.0.1"), newClientAt(t, b.url, "127.0.0.2")
	for _, c := range []*client{first, second} {
		c.update(t, s, s.Mirror.URL("/debian"))
		c.want(t, s.Mirror.URL("/debian/"+deb.Path), deb.Data)
	}
	first.want(t, s.Mirror.URL("/debian/"+s.debs[1].Path), s.debs[1].Data)
	for range 2 {
		figures(t, b, func() int64 { return first.got + second.got }, func() int64 { return s.Mirror.BytesSent("*") })
		p := ask[api.Package](t, b, "packages/package0")
		if p.Name != "package0" || p.Requests != 2 || p.ClientBytes != 2*size || p.MirrorBytes != size || p.SavedBytes != size {
			t.Errorf("account: %+v, want 2 requests and %d bytes saved", p.Account, size)
		}
		var clients []string
		for _, c := range p.Clients {
			clients = append(clients, c.Name)
			if c.Requests != 1 || c.Bytes != size || time.Since(c.Last) > time.Minute {
				t.Errorf("client: %+v, want 1 request of %d bytes", c, size)
			}
		}
		if slices.Sort(clients); !slices.Equal(clients, []string{"127.0.0.1", "127.0.0.2"}) {
			t.Errorf("clients: %v", clients)
		}
		from := []api.Source{{Origin: "mirror", Name: s.Mirror.Addr()}}
		if len(p.Versions) != 1 || p.Versions[0].Digest != digest.Of(deb.Data).String() || !slices.Equal(p.Versions[0].From, from) {
			t.Errorf("versions: %+v, want one from %v", p.Versions, from)
		}
		// Indices are no packages, and by package nothing is missing.
		list := ask[api.Page[api.Account]](t, b, "packages")
		if list.Total != 2 || list.Items[0].Name != "package0" || list.Items[1].SavedBytes != 0 {
			t.Errorf("packages: %+v", list)
		}
		var all, saved int64
		for a, err := range b.ledger.Packages("") {
			if err != nil {
				t.Fatal(err)
			}
			all, saved = all+a.Delivered(), saved+a.Saved()
		}
		if totals, _ := b.ledger.Totals(); all != totals.Delivered() || saved != totals.Saved() {
			t.Errorf("by package %d delivered and %d saved, in all %d and %d", all, saved, totals.Delivered(), totals.Saved())
		}
		for name, where := range map[string]string{"InRelease": "InRel", "Packages.xz": "Packages"} {
			found := ask[api.Found](t, b, "blobs?q="+where)
			if len(found.Items) != 1 || found.Items[0].Name != name || !slices.Equal(found.Items[0].From, from) {
				t.Errorf("blobs named %s: %+v", where, found)
			}
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b = start(t, environ)
	}
}

// A blob that has no name gets the one by which the catalog knows it.
func TestNamesFromTheCatalog(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	b := start(t, s.environ(t.TempDir()))
	deb := s.debs[0]
	known, unknown := digest.Of(deb.Data), digest.Of([]byte("?"))
	for d, data := range map[digest.Digest][]byte{known: deb.Data, unknown: []byte("?")} {
		if err := b.store.Put(d, int64(len(data)), bytes.NewReader(data), store.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	newClient(t, b.url).update(t, s, s.Mirror.URL("/debian"))
	deadline := time.Now().Add(20 * time.Second) // the catalog settles for 5 s
	for {
		info, err := b.store.Stat(known)
		if err != nil {
			t.Fatal(err)
		}
		if info.Name == "package0_1.0-1_all.deb" {
			break
		}
		if info.Name != "" || time.Now().After(deadline) {
			t.Fatalf("the blob has the name %q", info.Name)
		}
		time.Sleep(50 * time.Millisecond) // the catalog has to settle
	}
	if info, err := b.store.Stat(unknown); err != nil || info.Name != "" {
		t.Errorf("a blob that no index lists: %+v, %v", info, err)
	}
}
