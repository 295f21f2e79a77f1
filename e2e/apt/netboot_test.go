package apt

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/system"
	"millpond/internal/aptest"
)

// TestInstaller runs Debian's installer from its netboot image as far as it goes
// to a mirror before it partitions disks: it fetches its preseed file, chooses
// the mirror, checks the signed list of its own packages and loads some of them.
// All its questions are answered by the preseed file, which names the box as
// proxy or as mirror; or the proxy is given at boot, and the preseed file itself
// comes through the box. (debootstrap, which it runs after that, is in TestClients.)
func TestInstaller(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the test archive has installer packages for amd64 only")
	}
	configuredMirror(t)
	image := installerImage(t)
	for _, form := range []string{"proxy", "path", "boot"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			server := aptest.NewMirror(t, aptest.MirrorOptions{})
			s := clientSite(t, "", server.Addr()+"/*")
			want := s.install(t, image, "direct", server)
			server.ResetLog()
			for _, turn := range []string{"first", "second"} {
				s.mirror.ResetLog()
				same(t, turn+" time", s.install(t, image, form, server), want)
				onlyTheBox(t, s)
				if turn == "first" && (s.mirror.Requests("*.udeb") == 0 || s.mirror.Requests("*/Release.gpg") == 0) {
					t.Error("the box was asked for no installer package, or for no signature")
				}
			}
			onlyReleases(t, s)
			if through := strings.HasPrefix(server.Log()[0].UserAgent, "millpond"); through != (form == "boot") {
				t.Errorf("the preseed file came through the box: %v", through)
			}
			s.mirror.Down()
			same(t, "without the mirror", s.install(t, image, form, server), want)
		})
	}
}

// installerScript answers the installer's questions and takes the steps of its
// menu that need the network.
const installerScript = `#!/bin/sh
set -e
. /usr/share/debconf/confmodule
db_set preseed/url "$PRESEED"
db_set mirror/http/proxy "$PROXY"
/var/lib/dpkg/info/network-preseed.postinst
/var/lib/dpkg/info/choose-mirror.postinst
anna net-retriever default
/usr/lib/debian-installer/retriever/net-retriever packages /Packages
`

// install boots the installer in a root of its own and returns what it got.
func (s *site) install(t *testing.T, image, form string, server *aptest.Mirror) map[string][]byte {
	t.Helper()
	root := t.TempDir()
	if err := system.Finish(exec.CommandContext(t.Context(), "tar", "-C", root, "-xf", image)); err != nil {
		t.Fatal(err)
	}
	w := s.by(form)
	server.Put("/preseed.cfg", fmt.Appendf(nil, `
d-i mirror/country string manual
d-i mirror/protocol string http
d-i mirror/http/hostname string %s
d-i mirror/http/directory string %s
d-i mirror/http/proxy string %s
d-i mirror/suite string stable
d-i mirror/udeb/suite string stable
d-i anna/choose_modules multiselect more-udeb
d-i anna/no_kernel_modules boolean true
`, w.host(), w.root(), w.proxy), time.Now())
	writeFile(t, filepath.Join(root, "usr/share/keyrings/archive.gpg"), string(s.key.Public()))
	writeFile(t, filepath.Join(root, "steps"), installerScript)
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-euc", `
mount --bind /dev "$1/dev"
mount -t proc none "$1/proc"
mount -t tmpfs none "$1/run"
exec chroot "$1" /bin/sh -euc '. /lib/debian-installer-startup.d/S20templates; chmod +x /steps; exec debconf -o d-i /steps'`, "sh", root)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "PRESEED=" + server.URL("/preseed.cfg"), "PROXY="}
	if form == "boot" {
		cmd.Env = append(cmd.Env, "PROXY="+w.proxy)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the installer: %v\n%s", err, out)
	}
	all := map[string][]byte{}
	for _, name := range []string{"Packages", "usr/share/tool-udeb/data", "usr/share/more-udeb/data"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		all[name] = b
	}
	return all
}

// installerImage returns a tar of what the installer's netboot image boots, but
// for the kernel's modules. It is taken out of a Debian package of 130 MB once,
// and kept in the user's cache.
func installerImage(t *testing.T) string {
	t.Helper()
	script := `
package=$(apt-cache pkgnames debian-installer- | grep -x "debian-installer-[0-9]*-netboot-amd64" | sort -V | tail -1)
name=$(apt-get download --print-uris "$package" | cut -d" " -f2)
[ -e "$1/$name.tar" ] && echo "$1/$name.tar" && exit
apt-get -q download "$package" >&2
mkdir root
dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards -O "./usr/lib/debian-installer/images/*/amd64/text/debian-installer/amd64/initrd.gz" |
	gzip -d | (cd root && busybox cpio -idm)
rm -rf root/lib/modules "$1"
mkdir -p "$1"
tar -C root -cf image .
mv image "$1/$name.tar"
echo "$1/$name.tar"`
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script, "sh", filepath.Join(cache, "millpond/installer"))
	cmd.Dir = t.TempDir()
	image, err := system.Capture(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestInstallerImages fetches what a machine boots from: images that no Release
// lists, but a list of sums that the Release lists does.
func TestInstallerImages(t *testing.T) {
	t.Parallel()
	s := clientSite(t, "")
	const images = "/dists/stable/main/installer-amd64/current/images/"
	pxe := make([]byte, 3<<20)
	s.mirror.Put("/debian"+images+"netboot/debian-installer/amd64/linux", pxe, time.Now())
	for _, turn := range []string{"first", "second"} {
		s.mirror.ResetLog()
		for _, form := range []string{"proxy", "path"} {
			dir := t.TempDir()
			for _, name := range []string{"SHA256SUMS", "netboot/mini.iso", "netboot/debian-installer/amd64/linux"} {
				runIn(t, dir, s.by(form), "curl", "-sS", "--fail", "--create-dirs", "-o", name, s.by(form).uri+images+name)
			}
			runIn(t, dir, way{}, "sha256sum", "--check", "SHA256SUMS")
			linux, err := os.ReadFile(filepath.Join(dir, "netboot/debian-installer/amd64/linux"))
			if err != nil || sha256.Sum256(linux) != sha256.Sum256(pxe) {
				t.Errorf("%s, %s time: linux has %d bytes, %v", form, turn, len(linux), err)
			}
		}
	}
	onlyReleases(t, s)
	if n := s.mirror.Requests("*"); n > 6 {
		t.Errorf("the second time the mirror was asked %d times", n)
	}
}
