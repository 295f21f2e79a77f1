package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// demand notes what it is told.
type demand struct {
	mu   sync.Mutex
	told []string // guarded by mu
}

func (d *demand) Served(e catalog.Entry, n int64, anew, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, fmt.Sprintf("%s %d anew %v held %v", e.Location.Name(), n, anew, held))
}

// What clients get of content is told as it is: how much of it, from where on, and
// whether it was held.
func TestDemand(t *testing.T) {
	t.Parallel()
	data := []byte(strings.Repeat("0123456789", 500))
	const name, other = "hello_2.10-3_amd64.deb", "http://deb.example.org/debian/pool/main/h/hello/hello_2.10-4_amd64.deb"
	for _, tt := range []struct {
		what, url string
		header    []string
		method    string
		want      []string
	}{
		{"held", debURL, nil, http.MethodGet, []string{name + " 5000 anew true held true", name + " 5000 anew false held true"}},
		{"fetched", other, nil, http.MethodGet, []string{"hello_2.10-4_amd64.deb 5000 anew true held false"}},
		{"the rest", debURL, []string{"Range: bytes=1000-"}, http.MethodGet, []string{name + " 4000 anew false held true"}},
		{"the first part", debURL, []string{"Range: bytes=0-999"}, http.MethodGet, []string{name + " 1000 anew true held true"}},
		{"no byte", debURL, nil, http.MethodHead, nil},
		{"what the client has", debURL, []string{"If-None-Match: " + etag(digest.Of(data))}, http.MethodGet, nil},
		{"a range that is not there", debURL, []string{"Range: bytes=9000-"}, http.MethodGet, nil},
		{"with a login", debURL, []string{"Authorization: Basic dTpw"}, http.MethodGet, nil},
		{"a Release", headURL, nil, http.MethodGet, nil},
	} {
		d := new(demand)
		b := newBox(func(o *Options) { o.Demand = d })
		for _, url := range []string{debURL, other} {
			b.catalog.entries[url] = catalog.Entry{Kind: catalog.Content, Digest: digest.Of(data), Size: int64(len(data)), Signed: true}
		}
		b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1}
		b.files[debURL], b.files[other], b.files[headURL] = holds(t, data), gives(data, ledger.FromMirror), gives(data, ledger.FromStore)
		b.serve(t).do(t, tt.method, tt.url, tt.header...)
		if tt.what == "held" { // once more
			b.do(t, tt.method, tt.url, tt.header...)
		}
		d.mu.Lock()
		if !slices.Equal(d.told, tt.want) {
			t.Errorf("%s: told %q, want %q", tt.what, d.told, tt.want)
		}
		d.mu.Unlock()
	}
}
