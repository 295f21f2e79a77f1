package apt

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/aptest"
)

// aptClients are programs on top of apt's library.
var aptClients = []*software{
	{name: "aptitude", needs: "aptitude", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		c := s.clientBy(t, w)
		mustRun(t, c, "aptitude", "-y", "update")
		mustRun(t, c, "aptitude", "-y", "--download-only", "install", "tool", "tool-data")
		mustRun(t, c, "aptitude", "download", "apt", "libtool++1")
		return fetched(t, c)
	}},
	{name: "python-apt", needs: "/usr/bin/python3", fetch: func(t *testing.T, s *site, w way, _ string) map[string][]byte {
		c := s.clientBy(t, w)
		mustRun(t, c, "/usr/bin/python3", "-c", `
import apt, apt_pkg
cache = apt.Cache()
cache.update()
cache.open()
cache["tool"].mark_install()
cache["tool-data"].mark_install()
cache.fetch_archives()
cache["apt"].candidate.fetch_binary()
cache["tool"].versions["1.0-1"].fetch_source(unpack=False)
`)
		return fetched(t, c)
	}},
	{name: "apt-file", unpack: "apt-file", needs: "perl", fetch: func(t *testing.T, s *site, w way, dir string) map[string][]byte {
		c := s.clientBy(t, w)
		// What the package puts into apt.conf.d of a machine.
		settings, err := os.ReadFile(filepath.Join(dir, "etc/apt/apt.conf.d/50apt-file.conf"))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(c.Root, "etc/apt/apt.conf.d/50apt-file.conf"), string(settings))
		program := filepath.Join(dir, "usr/bin/apt-file")
		mustRun(t, c, "perl", program, "update")
		if out := mustRun(t, c, "perl", program, "search", "bin/libtool++1"); !strings.Contains(out, "libtool++1: ") {
			t.Errorf("apt-file finds nothing:\n%s", out)
		}
		return fetched(t, c)
	}},
	{name: "unattended-upgrades", unpack: "unattended-upgrades", needs: "unshare", fetch: func(t *testing.T, s *site, w way, dir string) map[string][]byte {
		c := s.clientBy(t, w)
		writeFile(t, filepath.Join(c.Root, "etc/apt/apt.conf.d/50unattended-upgrades"),
			`Unattended-Upgrade::Origins-Pattern { "origin=Test,archive=stable-security"; };`+"\n")
		writeFile(t, filepath.Join(c.Root, "var/lib/dpkg/status"), installed)
		// What a machine's timer does each day. The program takes the machine's
		// own directories, and so gets the client's in their place.
		out := mustRun(t, c, "unshare", "--mount", "--propagation", "private", "sh", "-euc", `
for dir in etc/apt var/lib/apt var/lib/dpkg var/cache/apt var/log; do
	mount --bind "$1/$dir" "/$dir"
done
mount -t tmpfs none /run
mkdir "$1/var/run"
apt-get -q update
/usr/bin/python3 "$2/usr/bin/unattended-upgrade" --download-only --debug`, "sh", c.Root, dir)
		all := fetched(t, c)
		if _, ok := all["tool_1.0-1+deb1_amd64.deb"]; !ok {
			t.Errorf("unattended-upgrade did not fetch the upgrade:\n%s", out)
		}
		return all
	}},
}

// installed is dpkg's status of a machine that the security suite has an upgrade for.
const installed = `Package: tool
Status: install ok installed
Version: 1.0-1
Architecture: amd64
Maintainer: Test Archive <archive@example.org>
Description: test package

`

// clientBy is a fresh client that reaches the archive's suites in this way.
func (s *site) clientBy(t *testing.T, w way) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(s.key)
	if w.proxy != "" {
		c.Proxy(w.proxy)
	}
	c.Sources("deb "+w.uri+" stable main", "deb-src "+w.uri+" stable main", "deb "+w.uri+" stable-security main")
	return c
}

// fetched are the lists and packages that a client of apt's library got. Lists
// are named by their URL; what comes before the archive's directory is left out.
func fetched(t *testing.T, c *aptest.Client) map[string][]byte {
	t.Helper()
	all := files(t, filepath.Join(c.Root, "var/lib/apt/lists"), "_debian_dists_")
	if len(all) == 0 {
		t.Error("the client fetched no lists")
	}
	maps.Copy(all, files(t, filepath.Join(c.Root, "var/cache/apt/archives"), "/"))
	maps.Copy(all, files(t, c.Work, "/"))
	delete(all, "lock")
	return all
}

// mustRun runs a program as a client's own.
func mustRun(t *testing.T, c *aptest.Client, program string, args ...string) string {
	t.Helper()
	out, err := c.Run(t.Context(), program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runIn runs a program in a directory of its own and returns what it printed.
func runIn(t *testing.T, dir string, w way, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, append(w.environment(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
