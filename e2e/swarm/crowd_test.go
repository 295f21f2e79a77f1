package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// upToThreeTimes measures until what it measures is as it should be: where other work
// takes the processors, boxes are silent for so long that others ask the mirror, too.
func upToThreeTimes(t *testing.T, measure func() error) {
	t.Helper()
	var err error
	for range 3 {
		if err = measure(); err == nil {
			return
		}
		t.Log(err)
	}
	t.Error(err)
}

// Four empty boxes whose clients update and install at once: each index and
// each package leaves the mirror once.
func TestFourEmptyBoxesAtOnce(t *testing.T) {
	upToThreeTimes(t, func() error { return fourEmptyBoxes(t) })
}

// fourEmptyBoxes returns an error that names what left the mirror more than once.
func fourEmptyBoxes(t *testing.T) error {
	t.Helper()
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(4)
	var clients sync.WaitGroup
	for _, b := range s.boxes {
		clients.Go(func() {
			if err := install(t.Context(), s.client(b), names(packages)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	asked := make(map[string]int)
	for _, r := range s.mirror.Log() {
		if !head(r.Path) {
			asked[r.Path]++
		}
	}
	if len(asked) < 70 {
		t.Errorf("the mirror was asked for %d files only", len(asked))
	}
	s.stop()
	var err error
	for path, n := range asked {
		if n > 1 {
			err = errors.Join(err, fmt.Errorf("the mirror was asked %d times for %s", n, path))
		}
	}
	return err
}

// get fetches a file through a box and returns the digest of what came.
func get(ctx context.Context, b *box.Box, u string) (sum [32]byte, n int64, err error) {
	proxy, err := url.Parse(b.URL)
	if err != nil {
		return sum, 0, err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return sum, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return sum, 0, err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err = io.Copy(h, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", u, resp.Status)
	}
	return [32]byte(h.Sum(nil)), n, err
}

// crowd gets all files through a box, ten at a time, and checks them.
func crowd(ctx context.Context, b *box.Box, m *aptest.Mirror, files []aptest.File) error {
	work := make(chan aptest.File)
	errs := make(chan error, len(files))
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for f := range work {
				sum, n, err := get(ctx, b, m.URL("/debian/"+f.Path))
				if err == nil && sum != sha256.Sum256(f.Data) {
					err = fmt.Errorf("%s: %d wrong bytes", f.Path, n)
				}
				errs <- err
			}
		})
	}
	for _, f := range files {
		work <- f
	}
	close(work)
	workers.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestFlashCrowd has eight boxes fetch the same fifty new files, 1 kB to
// 200 MB, at the same instant.
func TestFlashCrowd(t *testing.T) {
	upToThreeTimes(t, func() error { return flashCrowd(t) })
}

// flashCrowd returns an error if the mirror sent more than the unique bytes.
func flashCrowd(t *testing.T) error {
	t.Helper()
	const boxes = 8
	s := newSwarm(t, nil)
	var files []aptest.File
	var unique int64
	for i := range 50 {
		size := 1000 << (i % 11)
		switch i {
		case 0:
			size = 200e6
		case 1:
			size = 30e6
		}
		f := s.archive.Add(aptest.Package{Name: fmt.Sprintf("new%02d", i), Version: "1.0", Size: size})
		files = append(files, f)
		unique += int64(len(f.Data))
	}
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	// A line of 160 Mbit/s for each download: the mirror is what is scarce.
	s.mirror.Inject("*/pool/*", aptest.Slow(20e6))
	update := func(b *box.Box) {
		s.client(b).MustApt("update", "--error-on=any")
	}

	alone := newSwarm(t, nil)
	alone.archive, alone.mirror = s.archive, s.mirror
	alone.add(1)
	update(alone.boxes[0])
	begun := time.Now()
	if err := crowd(t.Context(), alone.boxes[0], s.mirror, files); err != nil {
		t.Fatal(err)
	}
	one := time.Since(begun)
	alone.boxes[0].Stop()

	s.add(boxes)
	for _, b := range s.boxes {
		update(b)
	}
	s.mirror.ResetLog()
	begun = time.Now()
	var all sync.WaitGroup
	for _, b := range s.boxes {
		all.Go(func() {
			if err := crowd(t.Context(), b, s.mirror, files); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	last := time.Since(begun)
	sent := s.mirror.BytesSent("*/pool/*")
	s.stop()
	copies := float64(sent) / float64(unique)
	t.Logf("one box alone %v; the last of %d boxes %v (%.2f ×); the mirror sent %d bytes for %d unique ones (%.3f ×)",
		one, boxes, last, last.Seconds()/one.Seconds(), sent, unique, copies)
	if copies > 1.05 {
		return fmt.Errorf("the mirror sent %.3f × the unique bytes, want at most 1.05", copies)
	}
	return nil
}
