package compare

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

const (
	// direct is a client that asks the mirror itself.
	direct = "direct"
	// coldSize is that of the file nobody holds.
	coldSize = 200_000_000
	// siteLine is the line between the mirror and the subjects, in Mbit/s.
	siteLine = 1000
)

// coldWorks has one client ask for a large file that no subject holds: from a mirror that is
// faster than any subject, and from one behind such a line as a site has.
func coldWorks(t *testing.T, r *results) {
	size := int64(coldSize)
	if r.short {
		size = 4_000_000
	}
	t.Run("loopback", func(t *testing.T) {
		l, err := net.Listen("tcp", freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		coldWork(t, r, l, size, "a mirror on loopback",
			"One client asks for a file that no subject holds. The mirror is a bare net/http server. On loopback "+
				"it sends more than any subject can hash and write with the same two cores; behind a line of 1 Gbit/s "+
				"it sends what that takes.")
	})
	if r.short {
		return // the crowd has a line, too
	}
	t.Run("line", func(t *testing.T) {
		host := box.NewNetwork(t, 94).Host()
		host.Limit(siteLine)
		l, err := host.Listen("8080")
		if err != nil {
			t.Fatal(err)
		}
		coldWork(t, r, l, size, "a mirror behind 1 Gbit/s", "")
	})
}

func coldWork(t *testing.T, r *results, l net.Listener, size int64, variant, how string) {
	t.Helper()
	sizes := make([]int64, r.rounds)
	for i := range sizes {
		sizes[i] = size
	}
	s := newSiteAt(t, l, sizes)
	work := fmt.Sprintf("%s, cold, one client: %s", megabytes(size), variant)
	r.describe(work, how)
	subjects := append([]subject{{name: direct, url: "http://" + s.mirror, sole: true}}, s.subjects[:len(s.subjects)-1]...)
	r.turns(t, work, subjects, func(sub subject, round int) (figures, error) {
		return coldTurn(sub, sub.of(s.mirror)+s.files[round].path, size)
	})
	for _, round := range s.files { // all hold it now
		for _, sub := range subjects[1:] {
			if err := check(http.DefaultClient, sub.of(s.mirror)+round.path, round); err != nil {
				t.Errorf("%s: %v", sub.name, err)
			}
		}
	}
	r.expect(target{work: work, measure: "first byte ms", against: direct, limit: 1.1, plus: 2, what: "time of direct to the first byte, in ms"})
	r.expect(target{work: work, measure: "MB/s", against: direct, limit: 0.95, atLeast: true, what: "rate of direct"})
}

// coldTurn gets a URL over a new connection.
func coldTurn(sub subject, url string, size int64) (figures, error) {
	used, err := cost(sub)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	d, err := download(client, url, size)
	if err != nil {
		return nil, err
	}
	f := figures{"first byte ms": d.first.Seconds() * 1e3, "seconds": d.all.Seconds(), "MB/s": float64(size) / 1e6 / d.all.Seconds()}
	return f, used(f)
}

// cost begins to measure a subject's processor time; the function that it returns notes it.
func cost(sub subject) (func(figures) error, error) {
	if sub.pid == nil {
		return func(figures) error { return nil }, nil
	}
	before, err := processorTime(sub.pid())
	return func(f figures) error {
		after, err := processorTime(sub.pid())
		f["cpu s"] = (after - before).Seconds()
		return err
	}, err
}

// taken is what a download took.
type taken struct{ first, all time.Duration }

// download gets a file and throws it away.
func download(client *http.Client, url string, size int64) (d taken, err error) {
	begun := time.Now()
	resp, err := client.Get(url)
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return d, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	buf := make([]byte, 256<<10)
	got := int64(0)
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		if got == 0 && n > 0 {
			d.first = time.Since(begun)
		}
		got += int64(n)
	}
	d.all = time.Since(begun)
	if !errors.Is(err, io.EOF) || got != size {
		return d, fmt.Errorf("GET %s: %d bytes of %d: %w", url, got, size, err)
	}
	return d, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }
