package main

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// Boxes that are each other's mirrors in a circle notice a request that comes back
// the first time that it does, whatever kind of file it is for.
func TestBoxesInACircle(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	addrs := []string{"127.77.12.1:3142", "127.77.12.2:3142", "127.77.12.3:3142"}
	for i, addr := range addrs {
		next := addrs[(i+1)%len(addrs)]
		start(t, s.environ(t.TempDir(), "MILLPOND_LISTEN="+addr,
			"MILLPOND_MIRRORS=http://archive.example.org/debian=http://"+next+"/archive.example.org/debian"))
	}
	proxy, err := url.Parse("http://" + addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	// Well below the 120 s that a box waits for a mirror.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, path := range []string{
		"/debian/dists/stable/InRelease", "/debian/dists/stable/Release", "/debian/pool/main/u/unlisted/unlisted_1_all.deb",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(ctx, method, "http://archive.example.org"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusLoopDetected {
				t.Errorf("%s %s: %s, want 508", method, path, resp.Status)
			}
		}
	}
}
