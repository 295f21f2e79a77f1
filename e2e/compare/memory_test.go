package compare

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// memoryWorks has a box learn a million files, as many as all suites of two distributions
// have, and hold 200,000 others: how soon it is ready, and what memory it has.
func memoryWorks(t *testing.T, r *results) {
	suites, each, blobs, rest := 20, 50_000, smallFiles, 30*time.Second
	if r.short {
		suites, each, blobs, rest = 2, 100, 1_000, 0
	}
	m := learned(t, suites, each)
	m.Stop()
	for i := range blobs {
		m.PlaceBlob(fmt.Appendf(nil, "blob %d", i))
	}
	m.Run()
	m.Until("the box knows what it holds", func() bool { return m.Summary().Blobs >= int64(blobs) })

	state := fmt.Sprintf("%s blobs and %s known files", grouped(int64(blobs)), grouped(int64(suites*each)))
	start, idle := "start with "+state, "memory: idle with "+state
	r.describe(start, "From the start of the program until /readyz says that it is ready.")
	for range r.rounds {
		m.Stop()
		took, err := timedStart(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		r.note(start, millpond, figures{"seconds": took.Seconds()})
		t.Logf("%s: %v", start, took)
	}
	r.expect(target{work: start, measure: "seconds", limit: 2, what: "seconds"})

	r.describe(idle, "What is resident half a minute after the start. Anonymous memory is without mapped files, which the kernel may drop.")
	// The runtime gives memory back little by little, and there is nothing to see of it.
	time.Sleep(rest)
	now := residentTree(t, m.PID())
	r.note(idle, millpond, figures{"MB": float64(now.all) / 1e6, "anonymous, MB": float64(now.anon) / 1e6})
	t.Logf("%s: %v", idle, now)
	r.expect(target{work: idle, measure: "MB", limit: 200, what: "MB resident"})
}

// timedStart starts a box and returns how long it took until it was ready.
func timedStart(ctx context.Context, b *box.Box) (time.Duration, error) {
	begun := time.Now()
	b.Launch()
	for {
		resp, err := http.Get(b.URL + "/readyz")
		took := time.Since(begun)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return took, nil
			}
		}
		if took > time.Minute {
			return took, errors.Join(errors.New("the box is not ready after a minute"), err)
		}
		select {
		case <-time.After(2 * time.Millisecond): // the other process gives no signal
		case <-ctx.Done():
			return took, ctx.Err()
		}
	}
}

// learned is a box that has read indices of so many suites.
func learned(t *testing.T, suites, each int) *box.Box {
	t.Helper()
	key := aptest.NewKey("archive")
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
	const index = "main/binary-amd64/Packages.gz"
	now := time.Now().UTC().Truncate(time.Second)
	for s := range suites {
		data := packages(t, s, each)
		release := fmt.Appendf(nil, "Suite: suite%02d\nDate: %s\nSHA256:\n %x %d %s\n", s, now.Format("Mon, 02 Jan 2006 15:04:05 UTC"), sha256.Sum256(data), len(data), index)
		dir := fmt.Sprintf("/debian/dists/suite%02d/", s)
		mirror.Put(dir+"InRelease", aptest.Clearsign(release, now, key), now)
		mirror.Put(dir+index, data, now)
	}
	keys := t.TempDir()
	write(t, filepath.Join(keys, "archive.gpg"), string(key.Public()))
	m := box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr())
	base := "/" + mirror.Addr() + "/debian/"
	begun := time.Now()
	for s := range suites {
		m.Get(fmt.Sprintf("%sdists/suite%02d/InRelease", base, s))
		m.Get(fmt.Sprintf("%sdists/suite%02d/%s", base, s, index))
	}
	known := func() bool { return m.Summary().Known >= int64(suites*each) }
	if err := poll.Until(t.Context(), 5*time.Minute, "all files are known", poll.That(known)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files learned in %v", suites*each, time.Since(begun))
	return m
}

// packages is an index of the usual length, packed.
func packages(t *testing.T, suite, each int) []byte {
	t.Helper()
	filler := bytes.Repeat([]byte("Depends: libc6 (>= 2.36), libgcc-s1 (>= 3.0), libstdc++6 (>= 12)\n"), 8)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range each {
		fmt.Fprintf(w, "Package: p%[1]d\nVersion: 1.%[2]d-1\nArchitecture: amd64\n%[3]s"+
			"Filename: pool/main/p/p%[1]d/p%[1]d_1.%[2]d-1_amd64.deb\nSize: %[4]d\nSHA256: %[5]x\nDescription: a package\n\n",
			i, suite, filler, 1000+i, sha256.Sum256(fmt.Append(nil, suite, i)))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
