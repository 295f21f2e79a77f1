package apt

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// While a client waits for sixty packages that the mirror drips, apt at the same
// address updates and installs from that mirror as if nothing else went on.
func TestSlowFilesHoldUpNobody(t *testing.T) {
	t.Parallel()
	const slow = 60
	key := aptest.NewKey("archive")
	archive := aptest.NewArchive(key)
	var dripping []aptest.File
	for i := range slow {
		dripping = append(dripping, archive.Add(aptest.Package{Name: fmt.Sprintf("slow%d", i), Version: "1.0-1", Size: 400 << 10}))
	}
	archive.Add(aptest.Package{Name: "small", Version: "1.0-1", Size: 100 << 10})
	archive.Add(aptest.Package{Name: "large", Version: "1.0-1", Size: 2 << 20})
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-2*time.Hour)))
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	b := box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_INDEX_TTL=0s", "MILLPOND_SWARM=false", "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8")
	c := aptest.NewClient(t)
	c.Trust(key)
	c.Proxy(b.URL)
	c.Sources(mirror.Source("/debian", "stable", "main"))
	c.MustApt("update")

	drip := mirror.Inject("*/slow*", aptest.Slow(4000))
	proxy, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	t.Cleanup(other.CloseIdleConnections)
	for _, file := range dripping {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, mirror.URL("/debian/"+file.Path), nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, err := other.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
	}
	if err := drip.Await(t.Context(), 16); err != nil {
		t.Fatal(err)
	}

	archive.Add(aptest.Package{Name: "new", Version: "1.0-1", Size: 100})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
	for _, step := range []struct {
		limit time.Duration
		args  []string
	}{
		{5 * time.Second, []string{"update"}},
		{5 * time.Second, []string{"install", "--download-only", "small", "new"}},
		{15 * time.Second, []string{"install", "--download-only", "large"}},
	} {
		begun := time.Now()
		out := c.MustApt(step.args...)
		took := time.Since(begun)
		t.Logf("apt %v: %.1f s", step.args, took.Seconds())
		if took > step.limit {
			t.Errorf("apt %v took %v", step.args, took)
		}
		for _, line := range troubles.FindAllString(out, -1) {
			t.Errorf("apt says: %s", line)
		}
	}
}
