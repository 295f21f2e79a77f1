package compare

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

const (
	base      = "/debian/"
	inRelease = base + "dists/stable/InRelease"
	index     = base + "dists/stable/main/binary-amd64/Packages.gz"
)

// file is one of the archive's. Its bytes are those that its number makes.
type file struct {
	path   string
	size   int64
	digest [sha256.Size]byte
}

// site is a signed archive of files of given sizes, its mirror, and the subjects before it.
// The files are no packages, which no subject looks into.
type site struct {
	t          *testing.T
	dir        string // of the mirror
	keys       string // the directory of its key
	mirror     string // host and port
	files      []file
	asked      atomic.Int64 // how often the mirror was asked for a file
	askedByBox atomic.Int64
	checked    atomic.Int64 // how often for another, InRelease above all
	sent       atomic.Int64 // bytes of files, by the mirror
	box        *box.Box
	subjects   []subject
}

// newSite makes the archive and starts its mirror and all subjects, which hold nothing yet.
func newSite(t *testing.T, sizes []int64) *site {
	t.Helper()
	l, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return newSiteAt(t, l, sizes)
}

// newSiteAt is newSite with the mirror where l listens.
func newSiteAt(t *testing.T, l net.Listener, sizes []int64) *site {
	t.Helper()
	s := newMirror(t, l, sizes)
	s.subjects = []subject{
		startMillpond(t, append(s.settings(), "MILLPOND_LISTEN="+freeAddr(t))...),
		startNginx(t, s.mirror),
		startACNG(t),
		startSquid(t, s.mirror),
		startBare(t, s.dir),
	}
	s.box = s.subjects[0].box
	for _, sub := range s.subjects[1:] {
		s.update(sub)
	}
	s.learn(s.box)
	return s
}

// newMirror is newSiteAt without subjects.
func newMirror(t *testing.T, l net.Listener, sizes []int64) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), keys: t.TempDir()}
	for i, size := range sizes {
		s.add(i, size)
	}
	key := aptest.NewKey("archive")
	write(t, filepath.Join(s.keys, "archive.gpg"), string(key.Public()))
	s.publish(key)
	s.serve(l)
	return s
}

// settings are those of a box before the mirror.
func (s *site) settings() []string {
	return []string{"MILLPOND_KEYRING_DIR=" + s.keys, "MILLPOND_ALLOW_UPSTREAMS=" + s.mirror}
}

// update gets the indices through a subject.
func (s *site) update(sub subject) {
	s.t.Helper()
	for _, p := range []string{inRelease, index} {
		if _, err := get(sub.of(s.mirror) + p); err != nil {
			s.t.Fatalf("%s: %v", sub.name, err)
		}
	}
}

// learn has a box read the indices.
func (s *site) learn(b *box.Box) {
	s.t.Helper()
	s.update(subject{name: millpond, url: b.URL})
	b.Until("all files are known", func() bool { return b.Summary().Known >= int64(len(s.files)) })
}

// add writes the file of that number.
func (s *site) add(i int, size int64) {
	s.t.Helper()
	name := filepath.FromSlash(fmt.Sprintf("%spool/main/p/p%d/p%d_1.0-1_amd64.deb", base, i%1000, i))
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	w := bufio.NewWriterSize(f, 64<<10)
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(i))
	random := rand.NewChaCha8(seed)
	block := make([]byte, min(size, 64<<10))
	for left := size; left > 0; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		random.Read(block)
		sum.Write(block)
		if _, err := w.Write(block); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	// As old as most are. squid would ask again for a file that is new.
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		s.t.Fatal(err)
	}
	s.files = append(s.files, file{filepath.ToSlash(name), size, [sha256.Size]byte(sum.Sum(nil))})
}

// publish writes the index of all files, and its signed Release.
func (s *site) publish(key *aptest.Key) {
	s.t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, f := range s.files {
		fmt.Fprintf(w, "Package: p%d\nVersion: 1.0-1\nArchitecture: amd64\nFilename: %s\nSize: %d\nSHA256: %x\nDescription: a file\n\n",
			i, strings.TrimPrefix(f.path, base), f.size, f.digest)
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	release := fmt.Appendf(nil, "Suite: stable\nDate: %s\nSHA256:\n %x %d main/binary-amd64/Packages.gz\n",
		now.Format("Mon, 02 Jan 2006 15:04:05 UTC"), sha256.Sum256(packed.Bytes()), packed.Len())
	for name, data := range map[string]string{index: packed.String(), inRelease: string(aptest.Clearsign(release, now, key))} {
		path := filepath.Join(s.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		write(s.t, path, data)
	}
}

// serve starts the mirror, in this process.
func (s *site) serve(l net.Listener) {
	s.t.Helper()
	s.mirror = l.Addr().String()
	files := http.FileServer(http.Dir(s.dir))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".deb") {
			s.asked.Add(1)
			if strings.HasPrefix(r.UserAgent(), "millpond/") {
				s.askedByBox.Add(1)
			}
			w = &counted{ResponseWriter: w, sent: &s.sent}
		} else {
			s.checked.Add(1)
		}
		files.ServeHTTP(w, r)
	})}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(l) // says that it was closed
		close(done)
	}()
	s.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// counted counts an answer's bytes, and leaves sendfile to the server.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) ReadFrom(from io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, from)
	c.sent.Add(n)
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// hold makes subjects hold files by asking for them.
func (s *site) hold(subjects []subject, files []file) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, sub := range subjects {
		all.Go(func() { s.fill(sub, files) })
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// fill asks a subject for files, and checks what it sends. apt-cacher-ng waits some 40 ms for
// each on a connection, hence as many connections.
func (s *site) fill(sub subject, files []file) {
	const connections = 64
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	queue := make(chan file)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			var err error
			for f := range queue {
				if err == nil {
					err = check(client, sub.of(s.mirror)+f.path, f)
				}
			}
			if err != nil {
				s.t.Errorf("%s: %v", sub.name, err)
			}
		})
	}
	for _, f := range files {
		queue <- f
	}
	close(queue)
	all.Wait()
}

// check gets a file and compares its digest.
func check(client *http.Client, url string, f file) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("GET %s: %w", url, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	case [sha256.Size]byte(sum.Sum(nil)) != f.digest:
		return fmt.Errorf("GET %s: %w", url, errOtherBytes)
	}
	return nil
}

var errOtherBytes = errors.New("the body is not that of the archive's file")

// place puts files in the box's store while it is stopped, as it finds those whose database
// was lost: thousands a second rather than hundreds.
func (s *site) place(files []file) {
	s.t.Helper()
	s.box.Stop()
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(f.path)))
		if err != nil {
			s.t.Fatal(err)
		}
		s.box.PlaceBlob(data)
	}
	s.box.Run()
}

// unasked runs the works of held files, for which the box may not ask the mirror. squid does,
// when its disk is behind.
func (s *site) unasked(works func()) {
	s.t.Helper()
	before, byBox := s.asked.Load(), s.askedByBox.Load()
	works()
	if n := s.askedByBox.Load() - byBox; n != 0 {
		s.t.Errorf("the box asked the mirror for %d files that it held", n)
	}
	s.t.Logf("the mirror was asked for %d held files", s.asked.Load()-before)
}
