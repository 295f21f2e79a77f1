package apt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/disk/disktest"
)

// diskMiB is the size of the disks here: the box leaves 64 MiB free.
const diskMiB = 400

// mount gives the box a small disk of its own, until the test ends. It needs root.
func mount(t *testing.T, kind string) string {
	t.Helper()
	if kind == "tmpfs" {
		return disktest.Tmpfs(t, 0, fmt.Sprintf("size=%dm", diskMiB))
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", disktest.Ext4Image(t, diskMiB<<20), dir).CombinedOutput(); err != nil {
		t.Fatalf("mounting (needs root): %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return dir
}

// filler is another program that writes to the disk.
type filler struct {
	t *testing.T
	f *os.File
}

func newFiller(t *testing.T, dir string) *filler {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "others"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &filler{t, f}
}

// fill writes until there is no room.
func (f *filler) fill() {
	f.t.Helper()
	for block := make([]byte, 1<<20); len(block) > 0; {
		switch _, err := f.f.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			f.t.Fatal(err)
		}
	}
}

func (f *filler) release() {
	f.t.Helper()
	_, err := f.f.Seek(0, io.SeekStart)
	if err := errors.Join(err, f.f.Truncate(0)); err != nil {
		f.t.Fatal(err)
	}
}

// Another program fills the disk to the last byte, before a start, while the box serves,
// and as it stops. Each client gets its files, the box says that it does not keep them,
// and it stops, starts, and keeps files again when there is room.
func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			dir := mount(t, kind)
			s := newSite(t, "MILLPOND_DATA_DIR="+filepath.Join(dir, "data"))
			files := s.publishLarge(10, 20<<20)
			for path, data := range files {
				s.wantFile(t, path, data)
			}
			s.box.Stop()
			others := newFiller(t, dir)
			others.fill()
			s.box.Run() // on what files of the cache took
			if log := s.box.Log(); !strings.Contains(log, "removed before the start") {
				t.Errorf("the start says nothing of what it removed:\n%s", log)
			}

			var clients sync.WaitGroup
			for path, data := range files {
				clients.Go(func() { s.wantFile(t, path, data) })
			}
			s.box.Until("the box says that files are not kept", func() bool {
				others.fill()
				return strings.Contains(string(s.box.Get("/readyz")), "files are not being kept")
			})
			clients.Wait()
			for path, data := range files {
				s.wantFile(t, path, data)
			}
			s.update(t)
			s.box.Stop()

			others.release()
			s.box.Run()
			s.box.Until("the box is well again", func() bool {
				return !strings.Contains(string(s.box.Get("/readyz")), "files are not being kept")
			})
			others.fill()
			s.update(t)
			s.box.Kill()
			others.release()
			s.box.Run()
			for path, data := range files {
				s.wantFile(t, path, data)
			}
		})
	}
}

// With no inode left, files pass through, the box says so, stops, and starts again.
func TestNoInodes(t *testing.T) {
	dir := mount(t, "tmpfs")
	if out, err := exec.Command("mount", "-o", "remount,nr_inodes=1000", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := newSite(t, "MILLPOND_DATA_DIR="+filepath.Join(dir, "data"))
	files := s.publishLarge(3, 1<<20)
	for i := 0; ; i++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, data := range files {
		s.wantFile(t, path, data)
	}
	if ready := string(s.box.Get("/readyz")); !strings.Contains(ready, "files are not being kept") || !strings.Contains(ready, "more files") {
		t.Errorf("without inodes, the box says %s", ready)
	}
	s.box.Stop()
	for i := range 300 {
		if err := os.Remove(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	s.box.Run()
	for path, data := range files {
		s.wantFile(t, path, data)
	}
}

// publishLarge gives the mirror n more files.
func (s *site) publishLarge(n, size int) map[string][]byte {
	random := rand.NewChaCha8([32]byte{1})
	files := make(map[string][]byte)
	for i := range n {
		data := make([]byte, size)
		_, _ = random.Read(data) // never fails
		path := fmt.Sprintf("/debian/pool/main/l/large/large_%d_all.deb", i)
		s.mirror.Put(path, data, time.Now().Add(-time.Hour))
		files[path] = data
	}
	return files
}

// wantFile gets a file through the box.
func (s *site) wantFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := proxyGet(s.box, s.mirror.URL(path))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(want), err)
	}
}

// update has a fresh apt read the archive's lists through the box.
func (s *site) update(t *testing.T) {
	t.Helper()
	got, err := proxyGet(s.box, s.mirror.URL("/debian/dists/stable/InRelease"))
	if err != nil || !bytes.Contains(got, []byte("SHA256")) {
		t.Errorf("InRelease: %d bytes, %v", len(got), err)
	}
}

// proxyGet asks a box as its proxy.
func proxyGet(b *box.Box, rawURL string) ([]byte, error) {
	proxy, err := url.Parse(b.URL)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get(rawURL)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}
