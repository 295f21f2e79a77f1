package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/ledger"
)

// A box that starts again on its directory serves all it had, at once and
// without the mirror, and its figures go on from where they were.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000, 600_000)
	environ := s.environ(t.TempDir())
	base := s.Mirror.URL("/debian")
	c, before := servedOnce(t, s, environ)

	sent := s.Mirror.BytesSent("*")
	s.Mirror.Down()
	b := start(t, environ)
	again := newClient(t, b.url)
	for _, deb := range s.debs {
		again.want(t, base+"/"+deb.Path, deb.Data)
	}
	again.update(t, s, base)
	after := figures(t, b, func() int64 { return c.got + again.got }, func() int64 { return sent })
	if !after.Since.Equal(before.Since) || after.Blobs != before.Blobs || after.BlobBytes != before.BlobBytes || after.Known != before.Known {
		t.Errorf("after the restart %+v, before it %+v", after, before)
	}
}

// After each start the mirror is asked once whether a Release is current, and what is held
// is served if it does not answer.
func TestStartRevalidates(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	environ := s.environ(t.TempDir())
	base := s.Mirror.URL("/debian")
	for i := range 3 {
		p := spawn(t, environ)
		c := newClient(t, p.url)
		if i == 2 {
			s.Mirror.Down()
		}
		for range 2 {
			c.update(t, s, base)
		}
		if n := s.Mirror.Requests("*InRelease"); n != min(i+1, 2) {
			t.Errorf("start %d: the mirror was asked %d times in all, want %d", i, n, min(i+1, 2))
		}
		if n := s.Mirror.Requests("*/binary-amd64/*"); n != 1 {
			t.Errorf("start %d: the mirror was asked %d times for the index, want once", i, n)
		}
		c.CloseIdleConnections()
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("start %d: %v", i, err)
		}
	}
}

// download is a GET under way.
type download struct {
	got  atomic.Int64
	body []byte
	err  error
	done chan struct{}
}

// begin starts to get a URL through a box.
func begin(t *testing.T, c *client, url string) *download {
	t.Helper()
	d := &download{done: make(chan struct{})}
	go func() {
		defer close(d.done)
		resp, err := c.Get(url)
		if err != nil {
			d.err = err
			return
		}
		defer resp.Body.Close()
		buf := make([]byte, 16<<10)
		for {
			n, err := resp.Body.Read(buf)
			d.body = append(d.body, buf[:n]...)
			d.got.Add(int64(n))
			if err != nil {
				if err != io.EOF {
					d.err = err
				}
				return
			}
		}
	}()
	return d
}

// reaches waits until n bytes have come.
func (d *download) reaches(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); d.got.Load() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes have come, want %d", d.got.Load(), n)
		}
		time.Sleep(time.Millisecond) // the socket gives no signal
	}
}

// process is a millpond of its own, the test binary in its guise.
type process struct {
	*exec.Cmd
	url string
}

var clientLine = regexp.MustCompile(`"(http://127\.0\.0\.1:\d+)"`)

// spawn starts a process, with a shell's command before it, and waits for the line
// that it prints when it serves.
func spawn(t *testing.T, environ []string, before ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command("/bin/sh", "-c", strings.Join(append(before, `exec "$0"`), ";"), os.Args[0])}
	p.Env = append(environ, asProgram+"=1")
	p.Stderr = t.Output()
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Process.Kill(), p.Wait() })
	var line string
	var m []string
	for printed := bufio.NewReader(out); m == nil && err == nil; m = clientLine.FindStringSubmatch(line) {
		line, err = printed.ReadString('\n')
	}
	if err != nil || m == nil {
		t.Fatalf("a box printed %q, %v; want the line for clients", line, err)
	}
	p.url = m[1]
	return p
}

// SIGTERM lets a download finish and takes no new ones; the exit code is 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 2_000_000)
	p := spawn(t, s.environ(t.TempDir()))
	base := s.Mirror.URL("/debian")
	c := newClient(t, p.url)
	c.update(t, s, base)
	deb := s.debs[0]
	stall := s.Mirror.Inject("*.deb", aptest.Stall(1_000_000))
	d := begin(t, c, base+"/"+deb.Path)
	d.reaches(t, 500_000)

	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	addr := p.url[len("http://"):]
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("10 s after SIGTERM, connections are still taken")
		}
		time.Sleep(5 * time.Millisecond) // the other process gives no signal
	}
	stall.Release()
	<-d.done
	if d.err != nil || !bytes.Equal(d.body, deb.Data) {
		t.Errorf("the download under way: %d of %d bytes, %v", len(d.body), len(deb.Data), d.err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("the process: %v, want exit code 0", err)
	}
}

// The same within this process: Run returns nil when the download is through.
func TestRunDrains(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 2_000_000)
	dir := t.TempDir()
	b := start(t, s.environ(dir))
	base := s.Mirror.URL("/debian")
	c := newClient(t, b.url)
	c.update(t, s, base)
	stall := s.Mirror.Inject("*.deb", aptest.Stall(1_000_000))
	d := begin(t, c, base+"/"+s.debs[0].Path)
	d.reaches(t, 500_000)
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("Run returned in the middle of a download: %v", err)
	case <-time.After(50 * time.Millisecond): // it must still be waiting
	}
	stall.Release()
	<-d.done
	if err := <-stopped; err != nil || d.err != nil || !bytes.Equal(d.body, s.debs[0].Data) {
		t.Errorf("Run: %v; the download: %d of %d bytes, %v", err, len(d.body), len(s.debs[0].Data), d.err)
	}
	again := start(t, s.environ(dir))
	figures(t, again, func() int64 { return c.got + int64(len(d.body)) }, func() int64 { return s.Mirror.BytesSent("*") })
}

// kill -9 in the middle of downloads costs unfinished files and at most a
// second of the figures, never a blob, and never flatters.
func TestKill(t *testing.T) {
	t.Parallel()
	sizes := []int{30_000, 400_000, 1_000_000, 2_000_000, 2_500_000, 50_000}
	s := newSite(t, aptest.MirrorOptions{}, sizes...)
	dir := t.TempDir()
	p := spawn(t, s.environ(dir))
	base := s.Mirror.URL("/debian")
	c := newClient(t, p.url)
	c.update(t, s, base)
	var held []aptest.File // what clients have whole before the kill
	for _, deb := range s.debs[:3] {
		c.want(t, base+"/"+deb.Path, deb.Data)
		held = append(held, deb)
	}
	s.Mirror.Inject("*.deb", aptest.Stall(1_500_000))
	var running []*download
	for _, deb := range s.debs[3:5] {
		d := begin(t, c, base+"/"+deb.Path)
		d.reaches(t, 1_000_000)
		running = append(running, d)
	}
	// One more completes while the kill comes down.
	last := begin(t, c, base+"/"+s.debs[5].Path)
	last.reaches(t, 1)
	_ = p.Process.Kill()
	_ = p.Wait()
	received := c.got
	for _, d := range append(running, last) {
		<-d.done
		received += d.got.Load()
	}
	if bytes.Equal(last.body, s.debs[5].Data) && last.err == nil {
		held = append(held, s.debs[5])
	}
	sent := s.Mirror.BytesSent("*")
	s.Mirror.ClearFaults()
	s.Mirror.Down()

	b := start(t, s.environ(dir))
	sum := summary(t, b.url)
	if sum.ClientBytes > received || sum.MirrorBytes > sent {
		t.Errorf("the ledger is ahead: client_bytes %d, received %d; mirror_bytes %d, sent %d", sum.ClientBytes, received, sum.MirrorBytes, sent)
	}
	blobs := blobsIn(t, dir)
	if int64(len(blobs)) != sum.Blobs {
		t.Errorf("blobs %d, %d on disk", sum.Blobs, len(blobs))
	}
	again := newClient(t, b.url)
	for _, deb := range held {
		again.want(t, base+"/"+deb.Path, deb.Data)
		if digest := sha256.Sum256(deb.Data); !blobs[hex.EncodeToString(digest[:])] {
			t.Errorf("%s was delivered and is no blob", deb.Path)
		}
	}
	again.update(t, s, base)

	// With the mirror back, what was cut is completed from where it was. A mirror that
	// did not answer is left alone for 10 s.
	if err := s.Mirror.Up(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, _ := again.get(t, http.MethodGet, base+"/"+s.debs[3].Path)
		if resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the mirror is back and not asked again")
		}
	}
	for _, deb := range s.debs {
		again.want(t, base+"/"+deb.Path, deb.Data)
	}
}

// blobsIn returns the names of the blobs on disk, each checked to be the
// SHA-256 of its bytes.
func blobsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	blobs := make(map[string]bool)
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if digest := sha256.Sum256(data); hex.EncodeToString(digest[:]) != d.Name() {
			t.Errorf("torn blob %s of %d bytes", d.Name(), len(data))
		}
		blobs[d.Name()] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

// Many clients at a box that is told to stop leave no figure behind.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 20_000, 500_000, 900_000)
	dir := t.TempDir()
	b := start(t, s.environ(dir))
	base := s.Mirror.URL("/debian")
	setup := newClient(t, b.url)
	setup.update(t, s, base)
	var received atomic.Int64
	var clients sync.WaitGroup
	first := make(chan struct{}, 100)
	for range 8 {
		c := newClient(t, b.url)
		clients.Go(func() {
			defer c.CloseIdleConnections()
			for {
				for _, deb := range s.debs {
					resp, err := c.Get(base + "/" + deb.Path)
					if err != nil {
						return
					}
					body, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						received.Add(int64(len(body)))
					}
					if err != nil || resp.StatusCode == http.StatusOK && !bytes.Equal(body, deb.Data) {
						t.Errorf("%s: %s with %d bytes, %v", deb.Path, resp.Status, len(body), err)
					}
					select {
					case first <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for range 30 {
		<-first
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	again := start(t, s.environ(dir))
	figures(t, again, func() int64 { return setup.got + received.Load() }, func() int64 { return s.Mirror.BytesSent("*") })
}

// A box whose context has ended before it runs closes what New opened.
func TestRunEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := t.TempDir()
	for range 2 { // the second finds the directory free
		c, err := parseConfig(s.environ(dir))
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(c, newLog(t))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// What downloads take while the box closes, after the ledger's Run has ended,
// is a cost like any other.
func TestLastBytesAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	environ := s.environ(t.TempDir())
	b := start(t, environ)
	b.opened(func() error { // closed first, as a download that ends now
		b.ledger.Taken(ledger.File{Host: s.Mirror.Addr()}, 100)
		return nil
	})
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if sum := summary(t, start(t, environ).url); sum.MirrorBytes != 100 || sum.SavedBytes != -100 {
		t.Errorf("mirror_bytes %d, saved_bytes %d; want 100 and -100", sum.MirrorBytes, sum.SavedBytes)
	}
}
