package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/boxtest"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

func TestPackages(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	about := ledger.File{Host: "deb.example.org", Package: "g++"}
	r.ledger.Delivered(netip.MustParseAddr("10.1.2.5"), about, ledger.FromStore, 5000)
	r.ledger.Taken(about, 4900)
	names := func(path string) (all []string) {
		got := get[api.Page[api.Account]](t, r, path)
		for _, a := range got.Items {
			all = append(all, a.Name)
		}
		return all
	}
	for path, want := range map[string][]string{
		"packages":             {"bash", "g++"}, // saved 700 and 100
		"packages?sort=bytes":  {"g++", "bash"},
		"packages?sort=name":   {"bash", "g++"},
		"packages?q=BA":        {"bash"},
		"packages?q=package":   nil, // what is about none is no package
		"clients?sort=saved":   {"10.1.2.5", "10.1.2.3", "10.1.2.4"},
		"hosts?sort=saved&q=x": {"deb.example.org"},
	} {
		if got := names("/api/v1/" + path); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	got := get[api.Package](t, r, "/api/v1/packages/bash")
	want := api.Counts{Requests: 1, SavedBytes: 700, ClientBytes: 1000, FromStore: 700, FromMirror: 300, MirrorBytes: 300}
	if got.Name != "bash" || got.Counts != want || got.Last.IsZero() || len(got.Clients) != 1 || len(got.Versions) != 1 {
		t.Fatalf("bash: %+v", got)
	}
	if c := got.Clients[0]; c.Name != "10.1.2.3" || c.Requests != 1 || c.Bytes != 1000 || time.Since(c.Last) > time.Minute {
		t.Errorf("who asked: %+v", c)
	}
	if v := got.Versions[0]; v.Digest != r.deb.String() || len(v.From) != 2 {
		t.Errorf("what is held: %+v", v)
	}
	for _, name := range []string{"g++", "g%2B%2B"} {
		if got := get[api.Package](t, r, "/api/v1/packages/"+name); got.Name != "g++" || got.Versions == nil || len(got.Clients) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if w := r.do(t, http.MethodGet, "/api/v1/packages/zsh", "", ""); w.Code != http.StatusNotFound || w.Body.Len() < 10 {
		t.Errorf("nothing is known of: %d: %s", w.Code, w.Body)
	}
}

// What is held of a package is found by the names of its files, whoever asked.
func TestVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, name := range []string{"tool_1_all.deb", "tool_2_all.deb", "tool_2.dsc", "tool_list", "tool-doc_2_all.deb"} {
		r.put(t, name, store.Meta{Name: name})
	}
	for i := range maxVersions + 10 {
		name := fmt.Sprintf("many_%d_all.deb", i)
		r.put(t, name, store.Meta{Name: name})
	}
	var held []string
	got := get[api.Package](t, r, "/api/v1/packages/tool")
	for _, b := range got.Versions {
		held = append(held, b.Name)
	}
	if want := []string{"tool_1_all.deb", "tool_2.dsc", "tool_2_all.deb"}; !slices.Equal(held, want) || got.Clients == nil {
		t.Errorf("held: %v, want %v", held, want)
	}
	if n := len(get[api.Package](t, r, "/api/v1/packages/many").Versions); n != maxVersions {
		t.Errorf("%d files, want %d", n, maxVersions)
	}
}

// site is a resolver that knows one machine.
var site desk

type desk struct{}

func (desk) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if addr == "10.1.2.3" {
		return []string{"Desk.example.org."}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

func (desk) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("10.1.2.3")}, nil
}

// Hostnames come with the next answer, and can be searched for then.
func TestClientsByHostname(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients?q=DESK"); got.Total != 0 {
		t.Errorf("a name that is not known yet: %+v", got)
	}
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients"); got.Total != 2 || got.Items[0].Hostname != "" {
		t.Errorf("at first: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.names.Run(ctx) }()
	for r.names.Known("10.1.2.3") == "" {
		time.Sleep(time.Millisecond) // polling another goroutine
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	got := get[api.Page[api.Account]](t, r, "/api/v1/clients?q=DESK")
	if got.Total != 1 || got.Items[0].Name != "10.1.2.3" || got.Items[0].Hostname != "desk.example.org" {
		t.Errorf("by hostname: %+v", got)
	}
	if got := get[api.Package](t, r, "/api/v1/packages/bash"); got.Clients[0].Hostname != "desk.example.org" {
		t.Errorf("who asked: %+v", got.Clients)
	}
}

// A search goes on over any number of answers: what begins with q first, then
// what contains it, and nothing twice.
func TestSearch(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	digests := make(map[string]string)
	for _, name := range []string{"lib-a_1_all.deb", "lib-b_1_all.deb", "libx_1_all.deb", "python3-lib_1_all.deb", "zlib1g_1_all.deb", "Lib_1_all.deb"} {
		digests[name] = r.put(t, name, store.Meta{Name: name}).String()
	}
	find := func(q string, limit int) (all []string) {
		next := ""
		for range 20 {
			got := get[api.Found](t, r, fmt.Sprintf("/api/v1/blobs?q=%s&limit=%d&after=%s", url.QueryEscape(q), limit, next))
			for _, b := range got.Items {
				all = append(all, b.Name)
			}
			if next = got.Next; next == "" {
				return all
			}
		}
		t.Fatalf("%s: no end", q)
		return nil
	}
	someDigest := digests["libx_1_all.deb"]
	hex := r.put(t, "by-hash", store.Meta{})
	if err := r.store.Annotate(hex, store.Meta{Name: hex.String()}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		q    string
		want []string
	}{
		{"lib", []string{"lib-a_1_all.deb", "lib-b_1_all.deb", "libx_1_all.deb", "Lib_1_all.deb", "python3-lib_1_all.deb", "zlib1g_1_all.deb"}},
		{"Lib", []string{"Lib_1_all.deb", "lib-a_1_all.deb", "lib-b_1_all.deb", "libx_1_all.deb", "python3-lib_1_all.deb", "zlib1g_1_all.deb"}},
		{"3-LIB", []string{"python3-lib_1_all.deb"}},
		{"no such", nil},
		{someDigest, []string{"libx_1_all.deb"}},
		{strings.ToUpper(someDigest[:minDigits]), []string{"libx_1_all.deb"}},
		{hex.String()[:10], []string{hex.String()}}, // by digest and by name
	} {
		for _, limit := range []int{1, 2, 200} {
			if got := find(tt.q, limit); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %d at a time: %v, want %v", tt.q, limit, got, tt.want)
			}
		}
	}
	if got := find("", 3); len(got) != 9 || !slices.IsSorted(got[:8]) || got[8] != "" {
		t.Errorf("all: %v", got)
	}
}

// BenchmarkSearch searches 200,000 blobs by the beginning of a name, and by
// what few names contain.
func BenchmarkSearch(b *testing.B) {
	const blobs = 200_000
	full := filled(b, blobs)
	r := newRig(b, func(o *Options) { o.Store = full })
	for _, q := range []string{"package7777_", "e7777_", "ef0123456789", ""} {
		b.Run("q="+q, func(b *testing.B) {
			for b.Loop() {
				if w := r.do(b, http.MethodGet, "/api/v1/blobs?q="+q, "", ""); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
	b.Run("package", func(b *testing.B) {
		for b.Loop() {
			if w := r.do(b, http.MethodGet, "/api/v1/packages/package7777", "", ""); w.Code != http.StatusOK {
				b.Fatal(w.Body)
			}
		}
	})
}

// filled returns a store of n empty files of packages. They are laid under it
// before it opens: to put that many takes an hour of syncing.
func filled(b *testing.B, n int) *store.Store {
	b.Helper()
	dir := b.TempDir()
	for i := range 256 {
		if err := os.MkdirAll(filepath.Join(dir, "blobs", fmt.Sprintf("%02x", i)), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	var all []digest.Digest
	for i := range n {
		d := digest.Of(fmt.Append(nil, i))
		if err := os.WriteFile(filepath.Join(dir, "blobs", d.String()[:2], d.String()), nil, 0o644); err != nil {
			b.Fatal(err)
		}
		all = append(all, d)
	}
	s := boxtest.New(b, boxtest.Options{Dir: dir, Quota: 1e9, Log: slog.New(slog.DiscardHandler)}).Store
	for i, d := range all {
		if err := s.Annotate(d, store.Meta{Name: fmt.Sprintf("package%d_1.2-%d_amd64.deb", i/20, i%20)}); err != nil {
			b.Fatal(err)
		}
	}
	return s
}
