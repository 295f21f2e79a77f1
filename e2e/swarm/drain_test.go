package swarm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// TestDrain takes one of two boxes out in the middle of a client's download and replaces
// it, as for an upgrade: no client loses a download, the other box does not ask the one
// that leaves to fetch for the site, and asks its successor again.
func TestDrain(t *testing.T) {
	s := newSwarm(t, nil)
	add := func(name string, n, size int) (files []aptest.File) {
		for i := range n {
			files = append(files, s.archive.Add(aptest.Package{Name: fmt.Sprint(name, i), Version: "1.0", Size: size}))
		}
		return files
	}
	// Under the size from which files are got in pieces.
	large, before, during, after := add("large", 1, 4e6)[0], add("before", 40, 20e3), add("during", 40, 20e3), add("after", 40, 20e3)
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	s.add(2, "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site")
	old, other := s.boxes[0], s.boxes[1]
	for _, b := range s.boxes {
		s.client(b).MustApt("update", "--error-on=any")
	}
	fetched := func(b *box.Box, files []aptest.File) int64 { // by old, while b's clients get the files
		t.Helper()
		had := old.Summary().MirrorBytes
		if err := crowd(t.Context(), b, s.mirror, files); err != nil {
			t.Fatal(err)
		}
		return old.Summary().MirrorBytes - had
	}
	other.Until("the other box asks this one for some of the files", func() bool { return fetched(other, before) > 0 })

	stall := s.mirror.Inject("*"+large.Path, aptest.Stall(2e6))
	download := make(chan error, 1)
	go func() {
		sum, n, err := get(t.Context(), old, s.mirror.URL("/debian/"+large.Path))
		if err == nil && sum != sha256.Sum256(large.Data) {
			err = fmt.Errorf("%d wrong bytes", n)
		}
		download <- err
	}()
	old.Until("the download is under way", func() bool { return draining(t, old).Downloads == 1 })
	drained := make(chan error, 1)
	go func() {
		out, err := old.Command(context.WithoutCancel(t.Context()), "drain")
		if err == nil && !strings.Contains(out, "can be stopped") {
			err = fmt.Errorf("it printed %s", out)
		}
		drained <- err
	}()
	old.Until("the box is not ready", func() bool {
		resp, err := http.Get(old.URL + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	if n := fetched(other, during); n != 0 {
		t.Errorf("the box that leaves fetched %d bytes for the site", n)
	}
	select {
	case err := <-drained:
		t.Fatalf("the command ended in the middle of a download: %v", err)
	default:
	}
	stall.Release()
	if err := <-download; err != nil {
		t.Errorf("the download: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("millpond drain: %v", err)
	}
	old.Stop()
	old.Run()
	other.Until("the boxes are connected again", func() bool { return len(other.Peers()) == 1 })
	for _, f := range after { // until it is asked again
		if fetched(other, []aptest.File{f}) > 0 {
			return
		}
	}
	t.Error("the successor is not asked to fetch for the site")
}

func draining(t *testing.T, b *box.Box) (d api.Drain) {
	t.Helper()
	if err := json.Unmarshal(b.Get("/api/v1/drain"), &d); err != nil {
		t.Fatal(err)
	}
	return d
}
