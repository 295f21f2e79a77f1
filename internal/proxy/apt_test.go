package proxy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
)

// publish gives the box all files of a generation under a base URL, half of
// them as held blobs and half as downloads.
func (b *box) publish(t *testing.T, base string, g *aptest.Generation) {
	for i, name := range g.Paths() {
		get := gives(g.File(name), ledger.FromMirror)
		if i%2 == 0 {
			get = holds(t, g.File(name))
		}
		b.files[base+name] = func(ctx context.Context) (*fetch.File, error) {
			f, err := get(ctx)
			if err == nil {
				f.Modified = g.Time
			}
			return f, err
		}
	}
}

// The machine's apt takes what the box sends, in every form of request, and
// resumes what it has a part of.
func TestRealApt(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt")
	}
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	a.Add(aptest.Package{Name: "greet-data", Version: "1.2-1", Size: 3 << 20})
	deb := a.Add(aptest.Package{Name: "hello", Version: "2:2.10-3+b1", Arch: "amd64", Depends: "greet-data", Size: 1 << 20})
	g := a.Publish(time.Now())
	b := newBox(nil)
	b.publish(t, "http://deb.example.org/debian/", g)
	b.publish(t, "https://deb.example.org/debian/", g)
	b.serve(t)
	for _, tt := range []struct {
		name, source string
		proxied      bool
	}{
		{"proxy", "http://deb.example.org/debian", true},
		{"proxy, https", "http://HTTPS///deb.example.org/debian", true},
		{"path", "http://" + b.addr + "/deb.example.org/debian", false},
		{"path, HTTPS", "http://" + b.addr + "/HTTPS///deb.example.org/debian", false},
		{"path, https", "http://" + b.addr + "/https/deb.example.org/debian", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := aptest.NewClient(t)
			c.Trust(key)
			c.Sources("deb " + tt.source + " stable main")
			if tt.proxied {
				c.Set("Acquire::http::Proxy", "http://"+b.addr)
			}
			run := func(args ...string) string {
				out, err := c.Apt(t.Context(), args...)
				if err != nil || strings.Contains(out, "W: ") {
					t.Fatalf("apt-get %s: %v\n%s", args, err, out)
				}
				return out
			}
			run("update")
			if out := run("update"); !strings.Contains(out, "Hit:1") {
				t.Errorf("the second update fetched again:\n%s", out)
			}
			const name = "hello_2%3a2.10-3+b1_amd64.deb"
			part := filepath.Join(c.Root, "var/cache/apt/archives/partial", name)
			if err := os.WriteFile(part, deb.Data[:1<<19], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(part, g.Time, g.Time); err != nil {
				t.Fatal(err)
			}
			before := b.ledger.total()
			run("install", "--download-only", "hello")
			if got, err := c.Downloaded(name); err != nil || !bytes.Equal(got, deb.Data) {
				t.Errorf("downloaded %d bytes, %v; want %d", len(got), err, len(deb.Data))
			}
			data := int64(len(g.File("pool/main/g/greet-data/greet-data_1.2-1_all.deb")))
			if got, want := b.ledger.total()-before, data+int64(len(deb.Data))-1<<19; got != want {
				t.Errorf("%d bytes credited, want %d: what was there already is not sent", got, want)
			}
		})
	}
}

// What apt prints of a refusal tells the cause and the setting.
func TestRealAptRefused(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	c := aptest.NewClient(t)
	c.Set("Acquire::http::Proxy", "http://"+b.addr)
	c.Sources("deb http://10.0.0.5/debian stable main", "deb http://10.0.0.5/debian other main")
	out, _ := c.Apt(t.Context(), "update") // warns only
	for _, suite := range []string{"stable", "other"} {
		want := fmt.Sprintf("Failed to fetch http://10.0.0.5/debian/dists/%s/InRelease  403  Refused by millpond: 10.0.0.5 is a private address, "+
			"MILLPOND_ALLOW_UPSTREAMS=10.0.0.5 would allow it", suite)
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	c = aptest.NewClient(t)
	c.Sources("deb http://" + b.addr + "/debian stable main")
	out, _ = c.Apt(t.Context(), "update")
	if want := `403  Refused by millpond: a host in the path needs a dot or a port, "debian" has neither`; !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
}
