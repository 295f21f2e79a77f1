package faults

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
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
	"millpond/internal/disk/disktest"
)

// diskMiB is the size of the disks here.
const diskMiB = 400

// loopDisk is an ext4 file system in a file, mounted until the test ends. It needs root.
type loopDisk struct {
	t          *testing.T
	image, dir string
	mounted    bool
}

func newLoopDisk(t *testing.T, options string) *loopDisk {
	t.Helper()
	d := &loopDisk{t: t, image: disktest.Ext4Image(t, diskMiB<<20), dir: t.TempDir()}
	d.mount(options)
	t.Cleanup(d.unmount)
	return d
}

func (d *loopDisk) run(args ...string) string {
	d.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s (needs root): %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (d *loopDisk) mount(options string) {
	d.t.Helper()
	d.run("mount", "-o", "loop,"+options, d.image, d.dir)
	d.mounted = true
}

func (d *loopDisk) unmount() {
	d.t.Helper()
	if d.mounted {
		d.run("umount", d.dir)
		d.mounted = false
	}
}

// fail has the kernel find an error in the file system, as it does when it reads a bad
// block of it: it makes the file system read-only, whoever has files open there.
func (d *loopDisk) fail() {
	d.t.Helper()
	device := filepath.Base(d.run("findmnt", "-no", "SOURCE", d.dir))
	if err := os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("1"), 0); err != nil {
		d.t.Fatal(err)
	}
}

// shutdown takes the disk away: whatever is asked of its file system after that
// is refused with EIO.
func (d *loopDisk) shutdown() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutDown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutDown, noLogFlush); err != nil {
		d.t.Fatal(err)
	}
}

// diskSite is a mirror with files, and a box before it with a disk of its own.
type diskSite struct {
	t      *testing.T
	mirror *aptest.Mirror
	box    *box.Box
	files  map[string][]byte
	random *rand.ChaCha8
}

func newDiskSite(t *testing.T, dir string) *diskSite {
	t.Helper()
	s := &diskSite{t: t, files: make(map[string][]byte), random: rand.NewChaCha8([32]byte{1})}
	key := aptest.NewKey("archive")
	archive := aptest.NewArchive(key)
	for i := range 10 {
		archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: "1.0-1", Size: 100_000})
	}
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.mirror.Publish("/debian", archive.Publish(time.Now()))
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	s.box = box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+s.mirror.Addr(),
		"MILLPOND_DATA_DIR="+filepath.Join(dir, "data"))
	return s
}

// publish gives the mirror n more files of 2 MB, and returns where they are.
func (s *diskSite) publish(n int) (paths []string) {
	s.t.Helper()
	for range n {
		data := make([]byte, 2<<20)
		_, _ = s.random.Read(data) // never fails
		path := fmt.Sprintf("/debian/pool/main/l/large/large_%d_all.deb", len(s.files))
		s.mirror.Put(path, data, time.Now().Add(-time.Hour))
		s.files[path] = data
		paths = append(paths, path)
	}
	return paths
}

const inReleasePath = "/debian/dists/stable/InRelease"

// want has a client of its own get each of the files.
func (s *diskSite) want(paths []string) {
	s.t.Helper()
	var clients sync.WaitGroup
	for _, path := range paths {
		clients.Go(func() {
			got, err := s.get(path)
			if err != nil || !bytes.Equal(got, s.files[path]) {
				s.t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(s.files[path]), err)
			}
		})
	}
	clients.Wait()
	if got, err := s.get(inReleasePath); err != nil || !bytes.Contains(got, []byte("SHA256")) {
		s.t.Errorf("InRelease: %d bytes, %v", len(got), err)
	}
}

// get asks the box as its proxy.
func (s *diskSite) get(path string) ([]byte, error) {
	proxy, err := url.Parse(s.box.URL)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(s.mirror.URL(path))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// load has clients ask for new files, one after the other, until stop is called.
func (s *diskSite) load() (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			default:
				s.want(s.publish(1))
			}
		}
	}()
	return func() { close(done); <-over }
}

func (s *diskSite) keepsFiles(want bool) {
	s.t.Helper()
	s.box.Until(fmt.Sprintf("the box says whether it keeps files: %v", want), func() bool {
		return strings.Contains(string(s.box.Get("/readyz")), "files are not being kept") != want
	})
}

// wantWithoutMirror has clients get files while the mirror is away.
func (s *diskSite) wantWithoutMirror(paths []string) {
	s.t.Helper()
	s.mirror.Down()
	s.want(paths)
	if err := s.mirror.Up(); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the box on a disk that takes nothing, within the time that supervisors give,
// and wants it to say that the disk is why.
func (s *diskSite) stop(cause string) {
	s.t.Helper()
	begun := time.Now()
	err := s.box.Terminate()
	if took := time.Since(begun); took > 28*time.Second {
		s.t.Errorf("the box ended after %v", took)
	}
	if log := s.box.Log(); strings.Contains(log, "goroutine ") || !strings.Contains(log, cause) {
		s.t.Errorf("the box ended with %v:\n%s", err, log)
	}
}

// Under load, the kernel makes the file system read-only after an error, or the disk goes
// away. Clients get what was held and what was not, the box says that it keeps nothing,
// it stops, and does not start on such a disk. With the disk back, all that was held is
// there.
func TestDiskFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(*loopDisk)
		cause string
	}{
		"read-only": {(*loopDisk).fail, "read-only file system"},
		"gone":      {(*loopDisk).shutdown, "input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLoopDisk(t, "errors=remount-ro")
			s := newDiskSite(t, d.dir)
			held := s.publish(5)
			s.want(held)
			s.box.Stop() // what is known of them outlives a power cut from here on
			s.box.Run()
			under := s.load()
			tt.fault(d)
			s.keepsFiles(false)
			for range 3 {
				// The kernel tries to write what it has, as it does every half minute.
				_ = exec.Command("sync", "-f", d.dir).Run()
				s.want(append(s.publish(3), held...))
			}
			under()
			s.stop(tt.cause)
			if err := s.box.RunRefused(); err == nil || !strings.Contains(s.box.Log(), tt.cause) {
				t.Errorf("a start on the failed disk: %v:\n%s", err, s.box.Log())
			}
			d.unmount()
			d.mount("errors=remount-ro")
			s.box.Run()
			s.wantWithoutMirror(held)
			s.keepsFiles(true)
		})
	}
}

// A disk refuses each change of its directories: files pass through, held ones are
// served, and the box goes on keeping files, without a restart, once it does not any more.
func TestDirectoriesRefuseChanges(t *testing.T) {
	d := newLoopDisk(t, "errors=remount-ro")
	s := newDiskSite(t, d.dir)
	held := s.publish(5)
	s.want(held)
	s.box.Stop()
	s.box.Run()
	data := filepath.Join(d.dir, "data")
	change := func(flag string) {
		dirs, err := filepath.Glob(data + "/blobs/??")
		if err != nil {
			t.Fatal(err)
		}
		d.run(append([]string{"chattr", flag, data + "/partial", data + "/blobs"}, dirs...)...)
	}
	change("+i")
	news := s.publish(5)
	s.want(append(news, held...))
	s.keepsFiles(false)
	s.wantWithoutMirror(held)
	change("-i")
	s.keepsFiles(true)
	s.want(news)
	s.wantWithoutMirror(append(news, held...))
}
