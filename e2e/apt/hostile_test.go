package apt

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/digest"
)

// dripping is a server that sends a byte of a file each 8 s, which is no stall to
// anybody, and counts its requests.
type dripping struct {
	*httptest.Server
	requests atomic.Int64
}

func newDripping(t *testing.T, files map[string][]byte) *dripping {
	d := new(dripping)
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		w.Header().Set("Content-Length", strconv.Itoa(len(files[r.URL.Path])))
		for _, b := range files[r.URL.Path] {
			_, _ = w.Write([]byte{b})
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(8 * time.Second):
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(func() {
		d.CloseClientConnections()
		d.Close()
	})
	return d
}

// TestHostileNames: somebody has asked for what apt is about to fetch, under names at
// a server of his that sends a byte each 8 s. apt does not notice.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ known, wrong bool }{
		"before the box knows the archive": {}, "after": {known: true}, "with wrong bytes": {known: true, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, allowLoopback)
			g := s.archive.Publish(time.Now())
			s.mirror.Publish("/debian", g)
			files := make(map[string][]byte) // by name in by-hash
			for path, data := range g.Files() {
				if filepath.Ext(path) == ".deb" || filepath.Base(path) == "Packages.xz" {
					name := "/by-hash/SHA256/" + digest.Of(data).String()
					if files[name] = data; c.wrong {
						files[name] = make([]byte, len(data))
					}
				}
			}
			hostile := newDripping(t, files)
			apt := s.client(t)
			if c.known {
				apt.MustApt("update")
			}
			proxy, err := url.Parse(s.box.URL)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
			defer transport.CloseIdleConnections()
			asked := make(chan error, len(files))
			for path := range files {
				go func() {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hostile.URL+path, nil)
					if err != nil {
						asked <- err
						return
					}
					resp, err := transport.RoundTrip(req)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					asked <- err
				}()
			}
			s.box.Until("the hostile requests are under way", func() bool { return hostile.requests.Load() >= 10 || len(asked) >= 10 })
			begun := time.Now()
			everything(t, apt)
			t.Logf("apt took %.1f s; %d requests at the hostile server, %d at the mirror", time.Since(begun).Seconds(), hostile.requests.Load(), s.mirror.Requests("*"))
			most := map[bool]int{false: 1, true: 2}[c.wrong]
			for path := range g.Files() {
				if n := s.mirror.Requests("/debian/" + path); filepath.Ext(path) == ".deb" && n > most {
					t.Errorf("%s: %d requests at the mirror", path, n)
				}
			}
		})
	}
}
