package container

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"millpond/internal/aptest"
)

const dataDir = ":/var/lib/millpond"

// TestStop ends a box in the middle of a download: the download finishes, new
// requests are refused, the exit code is 0 and the file is kept.
func TestStop(t *testing.T) {
	s := newSite(t, map[string]int{"large": 8 << 20})
	data := volume(t)
	b := s.run(image, "-v", data+dataDir)
	s.learn(b)
	stalled := s.mirror.Inject("*/large_*.deb", aptest.Stall(2<<20))
	proxy, err := url.Parse(b.url())
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	resp, err := client.Get(s.url("large"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 1<<20)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() {
		_, err := docker.Docker(t.Context(), "stop", "-t", "30", b.id)
		stopped <- err
	}()
	address := b.url()
	b.until("new requests are refused", func() bool {
		_, err := get(&http.Client{Timeout: time.Second}, address+"/healthz")
		return err != nil
	})
	if b.state("{{.State.Running}}") != "true" {
		t.Fatal("the box ended before the download")
	}
	stalled.Release()
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(first, rest...), s.debs["large"].Data) {
		t.Errorf("the download ended after %d bytes: %v", len(first)+len(rest), err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if code := b.state("{{.State.ExitCode}}"); code != "0" {
		t.Errorf("exit code %s", code)
	}
	s.mirror.Down()
	b.start()
	s.fetch(b, "large")
}

// TestKill ends a box without a word: the next one has its files and its name.
func TestKill(t *testing.T) {
	s := newSite(t, map[string]int{"small": 1000, "large": 4 << 20})
	data := volume(t)
	b := s.run(image, "-v", data+dataDir)
	s.learn(b)
	s.fetch(b, "small", "large")
	before, identity := b.summary(), b.identity()
	must(t, "kill", b.id)
	s.mirror.Down()
	b.start()
	s.fetch(b, "small", "large")
	after := b.summary()
	// The figures may be a second behind, and never ahead.
	if after.Blobs != before.Blobs || after.MirrorBytes > before.MirrorBytes || after.FromStore == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if got := b.identity(); got != identity || got == "" {
		t.Errorf("the box was %q and is %q", identity, got)
	}
}

// TestUpgrade puts another version of the program on the same volume.
func TestUpgrade(t *testing.T) {
	s := newSite(t, map[string]int{"kept": 3 << 20})
	data := volume(t)
	old := s.run(image, "-v", data+dataDir)
	s.learn(old)
	s.fetch(old, "kept")
	identity := old.identity()
	must(t, "stop", "-t", "30", old.id)
	if err := docker.Build(t.Context(), root, image+":next", "--build-arg", "VERSION="+version+"-next"); err != nil {
		t.Fatal(err)
	}
	if got := must(t, "run", "--rm", image+":next", "version"); got != "millpond "+version+"-next" {
		t.Errorf("the next version calls itself %q", got)
	}
	s.mirror.Down()
	next := s.run(image+":next", "-v", data+dataDir)
	s.fetch(next, "kept")
	if got := next.identity(); got != identity {
		t.Errorf("the box was %q and is %q", identity, got)
	}
}
