// Package carry tests import, export and the box that travels with the built program and
// with other people's software: trees and caches that apt, debmirror and apt-cacher-ng have
// filled, an image that xorriso has made, and an export that the real apt installs from.
package carry

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// key signs all archives here, and the boxes have it.
var key = aptest.NewKey("carry")

// site is an archive with its mirror.
type site struct {
	testing.TB
	archive *aptest.Archive
	mirror  *aptest.Mirror
	keys    string // directory with the key, for boxes
}

func newSite(t testing.TB) *site { return newSiteAt(t, lowAddr(t)) }

// newSiteAt is a site whose mirror is at an address.
func newSiteAt(t testing.TB, addr string) *site {
	s := &site{TB: t, archive: aptest.NewArchive(key, aptest.Suite{NoPDiffs: true}), mirror: aptest.NewMirror(t, aptest.MirrorOptions{Listen: addr}), keys: t.TempDir()}
	write(t, filepath.Join(s.keys, "key.gpg"), key.Public())
	s.archive.Add(aptest.Package{Name: "hello", Version: "1.0-1", Arch: "amd64", Size: 30_000})
	s.archive.Add(aptest.Package{Name: "data", Version: "2:1.0-1", Size: 200_000})
	s.archive.Add(aptest.Package{Name: "user", Version: "1.0", Depends: "hello, data"})
	s.publish(time.Hour)
	return s
}

// publish makes a generation that is so old.
func (s *site) publish(age time.Duration) {
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-age)))
}

// box starts a box that trusts the archive's key.
func (s *site) box(settings ...string) *box.Box { return box.Start(s, s.settings(settings...)...) }

// settings are those of a box that trusts the archive's key and may ask its mirror.
func (s *site) settings(more ...string) []string {
	return append([]string{"MILLPOND_SWARM=false", "MILLPOND_KEYRING_DIR=" + s.keys, "MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, more...)
}

const adminToken = "let-me-in-and-do-it"

// asked runs a command of the program beside the running box.
func asked(t testing.TB, b *box.Box, args ...string) string {
	t.Helper()
	out, err := b.Command(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// client is an apt with the archive as its source, through a box unless that is nil.
func (s *site) client(b *box.Box) *aptest.Client {
	c := aptest.NewClient(s)
	c.Trust(key)
	c.Sources(s.mirror.Source("/debian", "stable", "main"))
	if b != nil {
		c.Proxy(b.URL)
	}
	return c
}

// stopped runs a command of the program while the box is stopped, and starts that again.
func stopped(t testing.TB, b *box.Box, args ...string) string {
	t.Helper()
	b.Stop()
	out, err := b.Command(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	b.Run()
	return out
}

// installs has a client install through the box what nobody may fetch any more.
func (s *site) installs(b *box.Box, packages ...string) {
	s.Helper()
	c := s.client(b)
	c.MustApt("update")
	c.MustApt(append([]string{"install"}, packages...)...)
}

// wants checks that the output of a command has some texts.
func wants(t testing.TB, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in:\n%s", text, out)
		}
	}
}

func TestArchivesOfApt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	direct := s.client(nil)
	direct.MustApt("update")
	direct.MustApt("install", "--download-only", "user")
	archives := filepath.Join(direct.Root, "var/cache/apt/archives")
	if _, err := os.Stat(filepath.Join(archives, "data_2%3a1.0-1_all.deb")); err != nil {
		t.Fatal(err) // apt names epochs so
	}
	b := s.box()
	out := stopped(t, b, "import", archives)
	wants(t, out, "Imported", "3 files", "no signed index")
	s.mirror.ResetLog()
	s.installs(b, "user")
	if n := s.mirror.Requests("/debian/pool/*"); n != 0 {
		t.Errorf("the mirror was asked for %d packages that were imported", n)
	}
	out = stopped(t, b, "import", archives)
	wants(t, out, "Imported      0 files", "Held before   3 files")
}

func TestTreeOfDebmirror(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tree := s.debmirror()
	b := s.box()
	out := stopped(t, b, "import", "--as", s.mirror.URL("/debian"), tree)
	wants(t, out, "/debian/dists/stable of ")
	s.mirror.Down() // what was imported is enough
	s.installs(b, "user")
}

// debmirror has the real debmirror mirror the archive.
func (s *site) debmirror() (tree string) {
	s.Helper()
	tree = filepath.Join(s.TempDir(), "tree")
	home := s.TempDir()
	write(s, filepath.Join(home, "debmirror.conf"), []byte("1;\n"))
	run(s, home, "debmirror", "--config-file="+filepath.Join(home, "debmirror.conf"), "--method=http", "--host="+s.mirror.Addr(), "--root=debian", "--dist=stable", "--section=main", "--arch=amd64",
		"--nosource", "--rsync-extra=none", "--diff=none", "--keyring="+filepath.Join(s.keys, "key.gpg"), tree)
	return tree
}

func TestImage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tree := filepath.Join(s.TempDir(), "image")
	for name, data := range s.archive.Publish(time.Now().Add(-time.Hour)).Files() {
		write(t, filepath.Join(tree, name), data)
	}
	write(t, filepath.Join(tree, "README.html"), []byte("an image has other files, too"))
	iso := filepath.Join(s.TempDir(), "image.iso")
	run(t, ".", "xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", iso, tree)
	mounted := filepath.Join(s.TempDir(), "mounted")
	if err := os.MkdirAll(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop,ro", iso, mounted).CombinedOutput(); err != nil {
		t.Logf("no loop device here (%v: %s): the image's files are extracted", err, bytes.TrimSpace(out))
		run(t, ".", "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", mounted)
	} else {
		t.Cleanup(func() { run(t, ".", "umount", mounted) })
	}
	b := s.box()
	out := stopped(t, b, "import", "--as="+s.mirror.URL("/debian"), mounted)
	wants(t, out, "Suite", "README.html", "not a package")
	s.mirror.Down()
	s.installs(b, "user")
}

func TestCacheOfAptCacherNG(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cache := s.acng("update", "install --download-only user")
	b := s.box()
	out := stopped(t, b, "import", cache)
	wants(t, out, "Imported", "not a package")
	s.mirror.ResetLog()
	s.installs(b, "user")
	if n := s.mirror.Requests("/debian/pool/*"); n != 0 {
		t.Errorf("the mirror was asked for %d packages that were imported:\n%s", n, out)
	}
}

// acng has the real apt-cacher-ng serve a client, and returns its cache.
func (s *site) acng(commands ...string) (cache string) {
	s.Helper()
	dir, addr := s.TempDir(), lowAddr(s)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		s.Fatal(err)
	}
	cache = filepath.Join(dir, "cache")
	write(s, filepath.Join(dir, "acng.conf"), []byte("CacheDir: "+cache+"\nLogDir: "+dir+"/log\nSupportDir: /usr/lib/apt-cacher-ng\n"+
		"BindAddress: "+host+"\nPort: "+port+"\nSocketPath: "+dir+"/socket\nAllowUserPorts: 0\nForeGround: 1\n"))
	cmd := exec.Command("/usr/sbin/apt-cacher-ng", "-c", dir)
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	end := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // reports the signal
	}
	defer end()
	poll.Must(s, 20*time.Second, "apt-cacher-ng listens", func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	c := s.client(nil)
	c.Proxy("http://" + addr)
	for _, command := range commands {
		c.MustApt(strings.Fields(command)...)
	}
	return cache
}

func TestExportForApt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.box()
	s.installs(b, "user")
	dir := filepath.Join(t.TempDir(), "export")
	out := stopped(t, b, "export", dir, "stable")
	var line string
	for text := range strings.Lines(out) {
		if _, after, ok := strings.Cut(text, "deb file:"); ok {
			line = "deb file:" + strings.TrimSpace(after)
		}
	}
	s.mirror.Down()
	c := aptest.NewClient(t)
	c.Trust(key)
	c.Sources(line)
	c.MustApt("update")
	c.MustApt("install", "user")
	if left := find(t, dir, ".millpond-new"); len(left) > 0 {
		t.Errorf("half files: %q", left)
	}
	out = stopped(t, b, "export", dir)
	wants(t, out, "Exported      0 files")
}

// lowAddr returns a loopback address that nobody listens on, with a port below 32768: with
// others apt-cacher-ng neither listens nor connects.
func lowAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// run runs a program in a directory with that as its home.
func run(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "GNUPGHOME=" + dir, "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// find returns the files below dir whose names end so.
func find(t testing.TB, dir, end string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(name, end) {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
