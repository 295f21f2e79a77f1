package load

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// TestManyDownloads has 2,000 clients connected, of which 500 download at 1 MB/s each
// over a link that is as wide as that. The same clients at a plain file server tell what
// this machine can do.
func TestManyDownloads(t *testing.T) {
	const mostRounds = 3 // the machine may be busy with something else during one of them
	clients, downloads, window, rounds := 2000, 500, 8*time.Second, mostRounds
	if testing.Short() {
		clients, downloads, window, rounds = 500, 125, time.Second, 1
	}
	w := box.NewNetwork(t, 91)
	office := w.Host()
	office.LimitIncoming(downloads * 8 * 105 / 100) // with the headers of packets
	var addresses []string
	for i := range 100 {
		addresses = append(addresses, office.AddAddress(100+i))
	}
	a := newArchive(t)
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{Listen: w.IP + ":0"})
	g := a.all.Publish(time.Now().Add(-time.Hour))
	mirror.Publish("/debian", g)
	b := box.StartIn(t, w.Host(), "MILLPOND_KEYRING_DIR="+a.keys, "MILLPOND_ALLOW_UPSTREAMS=10.231.0.0/16", "MILLPOND_SWARM=false")
	plain := plainServer(t, w.Host(), g)

	quickPaths, largePaths := a.present[small], a.present[large]
	viaBox, direct := newQuick(t, b.URL, urls("http://"+mirror.Addr(), quickPaths)), newQuick(t, "", urls("http://"+plain, quickPaths))
	for _, target := range append(urls("http://"+mirror.Addr(), []string{"/debian/" + release, "/debian/dists/stable/main/binary-amd64/Packages.xz"}), urls("http://"+mirror.Addr(), largePaths)...) {
		if err := viaBox.get(target); err != nil {
			t.Fatal(err)
		}
	}
	viaBox.run(window)

	p := plan{Addresses: addresses, Readers: downloads, Rate: 1e6, Idlers: clients - downloads}
	atBox, atPlain := p, p
	atBox.Server, atBox.Targets = b.URL[len("http://"):], urls("http://"+mirror.Addr(), largePaths)
	atBox.Idle = mirror.URL(quickPaths[0])
	atPlain.Server, atPlain.Targets, atPlain.Idle = plain, largePaths, quickPaths[0]
	var boxShares, plainShares, boxRates, plainRates, alone []float64
	faults := func() (all []string) {
		if median(boxRates) < leastShare*median(plainRates) {
			all = append(all, "the box sends less than the plain server")
		}
		if median(alone) < 0.85 {
			all = append(all, "quick clients wait for the box although it has nothing else to do")
		}
		if median(boxShares) < leastShare*min(1, median(plainShares)) {
			all = append(all, "quick clients lose more than at the plain server")
		}
		return all
	}
	for n := 1; n <= rounds || n <= mostRounds && len(faults()) > 0; n++ {
		m := measure(t, viaBox, atBox, office, window)
		boxShares, boxRates = append(boxShares, m.share), append(boxRates, m.rate)
		t.Logf("the box: %v", m)
		o := measure(t, direct, atPlain, office, window)
		plainShares, plainRates = append(plainShares, o.share), append(plainRates, o.rate)
		t.Logf("a plain server: %v", o)
		alone = append(alone, (m.before.rate+m.after.rate)/(o.before.rate+o.after.rate))
	}
	v := vitalsOf(t, b)
	t.Logf("%d clients, %d downloads: %.0f MB/s from the box, %.0f MB/s from the plain server; quick clients have %.2f of their rate beside, %.2f at the plain server; "+
		"alone, the box gives them %.2f of what the plain server does; peak %s, anonymous %s",
		clients, downloads, median(boxRates)/1e6, median(plainRates)/1e6, median(boxShares), median(plainShares), median(alone), mb(v.peak), mb(v.anonymous))
	for _, fault := range faults() {
		t.Error(fault)
	}
	if v.peak > memoryLimit {
		t.Errorf("the box had %s", mb(v.peak))
	}
}

// measured is what came of many downloads.
type measured struct {
	rate                  float64 // bytes a second of all downloads
	share                 float64 // of their rate alone that quick clients had
	before, beside, after pace
}

func (m measured) String() string {
	return fmt.Sprintf("%.0f MB/s; quick clients %v alone, %v beside, %v after: %.2f", m.rate/1e6, m.before, m.beside, m.after, m.share)
}

// measure has quick clients get files without and with others.
func measure(t *testing.T, q *quick, p plan, on *box.Host, window time.Duration) (m measured) {
	t.Helper()
	m.before = q.run(window)
	many := gather(t, p, on)
	many.await("all are connected", time.Minute, func(r report) bool {
		return r.Idle == int64(p.Idlers) && r.Bytes > int64(p.Readers)*p.Rate/2
	})
	begun, first := time.Now(), many.report()
	m.beside = q.run(window)
	last := many.report()
	m.rate = float64(last.Bytes-first.Bytes) / time.Since(begun).Seconds()
	if last.Errors > 0 || last.Idle != int64(p.Idlers) {
		t.Errorf("%d connections failed, %d are idle: %s", last.Errors, last.Idle, last.Last)
	}
	many.leave()
	m.after = q.run(window)
	m.share = 2 * m.beside.rate / (m.before.rate + m.after.rate)
	return m
}

// filesVariable has this test's program serve a directory at host:port, as a process of
// its own.
const filesVariable = "MILLPOND_TEST_FILES"

// serveFiles serves what the variable names until stdin ends.
func serveFiles(text string) error {
	addr, dir, _ := strings.Cut(text, "=")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, http.FileServer(http.Dir(dir)))
}

// plainServer serves an archive's files from a host, and nothing else.
func plainServer(t *testing.T, on *box.Host, g *aptest.Generation) (addr string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range g.Files() {
		path := filepath.Join(dir, "debian", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addr = on.IP + ":8080"
	cmd := on.Command(os.Args[0])
	cmd.Env = append(os.Environ(), filesVariable+"="+addr+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	poll.Must(t, 10*time.Second, "the plain server answers", func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return addr
}

func urls(base string, paths []string) []string {
	all := make([]string, 0, len(paths))
	for _, path := range paths {
		all = append(all, base+path)
	}
	return all
}
