package apt

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// mirrorTools are programs that copy archives or make systems of them, each by
// means of its own.
var mirrorTools = []*software{
	{name: "debmirror", needs: "debmirror", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "archive.gpg"), string(s.key.Public()))
		writeFile(t, filepath.Join(dir, "debmirror.conf"), "1;\n")
		runIn(t, dir, w, "debmirror", filepath.Join(dir, "mirror"), "--config-file="+filepath.Join(dir, "debmirror.conf"), "--method=http",
			"--host="+w.host(), "--root="+w.root(), "--dist=stable,stable-security", "--section=main,main/debian-installer",
			"--arch=amd64", "--source", "--i18n", "--getcontents", "--diff=none", "--rsync-extra=none", "--keyring="+filepath.Join(dir, "archive.gpg"))
		return copied(t, filepath.Join(dir, "mirror"))
	}},
	// It loses the port of a host, so that there is no path form for it either.
	{name: "apt-mirror", unpack: "apt-mirror", needs: "perl", listen: "127.80.0.1:80", forms: []string{"proxy"}, fetch: func(t *testing.T, s *site, w way, dir string) map[string][]byte {
		work := t.TempDir()
		proxy := ""
		if w.proxy != "" {
			proxy = "set use_proxy on\nset http_proxy " + w.proxy + "\n"
		}
		writeFile(t, filepath.Join(work, "mirror.list"), fmt.Sprintf(`set base_path %s
set defaultarch amd64
set nthreads 4
set run_postmirror 0
%sdeb %s stable main main/debian-installer
deb %s stable-security main
deb-src %s stable main
`, work, proxy, w.uri, w.uri, w.uri))
		for _, sub := range []string{"mirror", "skel", "var"} {
			if err := os.Mkdir(filepath.Join(work, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		runIn(t, work, way{}, "perl", filepath.Join(dir, "usr/bin/apt-mirror"), filepath.Join(work, "mirror.list"))
		return copied(t, filepath.Join(work, "mirror"))
	}},
	{name: "reprepro", needs: "reprepro", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		dir := t.TempDir()
		importKey(t, dir, s.key.Public())
		if err := os.Mkdir(filepath.Join(dir, "conf"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "conf/distributions"), "Codename: stable\nArchitectures: amd64 source\nComponents: main\nUDebComponents: main\nUpdate: - stable\n")
		updates := "Name: stable\nMethod: " + w.uri + "\nVerifyRelease: " + s.key.Fingerprint()[24:] + "\n"
		if w.proxy != "" {
			updates += "Config: Acquire::http::Proxy=" + w.proxy + "\n"
		}
		writeFile(t, filepath.Join(dir, "conf/updates"), updates)
		runIn(t, dir, way{}, "reprepro", "--gnupghome", dir, "update")
		return files(t, filepath.Join(dir, "pool"), "/")
	}},
	// A Go program takes no proxy for an address of loopback.
	{name: "aptly", needs: "aptly", forms: []string{"path"}, fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		dir := t.TempDir()
		keyring := filepath.Join(dir, "archive.gpg")
		writeFile(t, keyring, string(s.key.Public()))
		writeFile(t, filepath.Join(dir, "aptly.conf"), fmt.Sprintf(`{"rootDir": %q, "skipBz2Publishing": true}`, dir))
		aptly := func(args ...string) {
			runIn(t, dir, w, "aptly", append([]string{"-config=" + filepath.Join(dir, "aptly.conf")}, args...)...)
		}
		aptly("mirror", "create", "-keyring="+keyring, "-with-udebs", "-with-sources", "-with-installer", "-architectures=amd64", "copy", w.uri, "stable", "main")
		aptly("mirror", "update", "-keyring="+keyring, "copy")
		return files(t, filepath.Join(dir, "pool"), "/")
	}},
	{name: "cdebootstrap", needs: "cdebootstrap", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		dir := t.TempDir()
		keyring := filepath.Join(dir, "archive.gpg")
		writeFile(t, keyring, string(s.key.Public()))
		runIn(t, dir, w, "cdebootstrap", "--arch=amd64", "--flavour=minimal", "--download-only", "--keyring="+keyring, "stable", filepath.Join(dir, "root"), w.uri)
		return files(t, filepath.Join(dir, "root/var/cache/bootstrap"), "/")
	}},
	{name: "debootstrap", needs: "debootstrap", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		dir := t.TempDir()
		keyring := filepath.Join(dir, "archive.gpg")
		writeFile(t, keyring, string(s.key.Public()))
		runIn(t, dir, w, "debootstrap", "--arch=amd64", "--variant=minbase", "--download-only", "--include=tool", "--keyring="+keyring,
			"stable", filepath.Join(dir, "root"), w.uri)
		return files(t, filepath.Join(dir, "root/var/cache/apt/archives"), "/")
	}},
}

// copied is a copy of the archive, without the name of its host.
func copied(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := files(t, dir, "/dists/")
	maps.Copy(all, files(t, dir, "/pool/"))
	return all
}

// importKey makes a directory a home of GnuPG that knows the key.
func importKey(t *testing.T, home string, key []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "gpg", "--homedir", home, "--batch", "--no-autostart", "--import")
	cmd.Stdin = bytes.NewReader(key)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
