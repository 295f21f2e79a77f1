package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpackaged is the last commit before there was a package.
const unpackaged = "5e0bfb88359a4609890d0b152523b2feb51e90c8"

// unpackagedTree is the tree of that commit with this one's packaging. Its program does
// not talk to systemd, so that the unit waits for nothing but its start.
func unpackagedTree(t *testing.T) string {
	t.Helper()
	if _, err := output(root(t), "git", "cat-file", "-e", unpackaged+"^{commit}"); err != nil {
		unable(t, "this takes commit "+unpackaged+", which the repository does not have; `git fetch --unshallow` completes a shallow clone")
	}
	dir := filepath.Join(t.TempDir(), "tree")
	const copyFiles = `mkdir -p "$1/deploy/release" && git -C "$0" archive "$2" | tar x -C "$1" && cp -r "$0/deploy/release/debian" "$1/deploy/release/" &&
		sed -i -e s/^Type=notify/Type=exec/ -e /^WatchdogSec=/d "$1/deploy/release/debian/millpond.service"`
	if _, err := output(".", "bash", "-o", "pipefail", "-c", copyFiles, root(t), dir, unpackaged); err != nil {
		t.Fatal(err)
	}
	return dir
}

// debOf makes a package of a version of the program in a tree.
func debOf(t *testing.T, tree, number string) string {
	t.Helper()
	r := &release{
		options: options{root: tree, maintainer: "Somebody <somebody@millpond.invalid>", targets: hosts(t)},
		version: version{number: number, commit: strings.Repeat("0", 40), time: releaseTime},
		work:    t.TempDir(), dir: t.TempDir(),
		packing: "none", // of which dpkg takes either; the other takes a minute
	}
	for _, step := range []func() error{r.build, r.collectNotices, r.writeManual, r.packageDebs} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := filepath.Glob(filepath.Join(r.dir, "*.deb"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

// The package in a system with systemd: installed, configured, upgraded, reloaded,
// watched, disabled, removed, installed again, purged.
func TestPackageInASystem(t *testing.T) {
	if testing.Short() {
		t.Skip("makes and boots a system")
	}
	older, newer := debOf(t, unpackagedTree(t), "0.1.0"), debOf(t, root(t), "0.2.0")
	m := boot(t)

	m.install(t, older)
	m.answers(t, ":3142")
	m.serves(t, "0.1.0", ":3142")
	if got := m.run(t, "stat", "-c", "%U:%G %a", "/var/lib/millpond"); got != "millpond:millpond 750" {
		t.Errorf("the data directory is %s", got)
	}
	if got := m.run(t, "stat", "-c", "%U", "/proc/"+m.property(t, "MainPID")); got != "millpond" {
		t.Errorf("the service runs as %s", got)
	}

	// An administrator's settings: a port that takes rights, and a log where the unit
	// lets it be.
	mirror, file := m.mirror(t), "/debian/pool/main/h/hello/hello_1.0-1_all.deb"
	settings := "MILLPOND_LISTEN=:80\nMILLPOND_CACHE_SIZE=1G\nMILLPOND_ACCESS_LOG=/var/log/millpond/access.log\nMILLPOND_ALLOW_UPSTREAMS=" + mirror.address + "\n"
	m.write(t, "etc/default/millpond", settings)
	m.run(t, "sh", "-c", documented(t, "sudo systemctl restart"))
	m.answers(t, ":80")
	m.serves(t, "0.1.0", ":80")
	identity, before := m.read(t, "var/lib/millpond/identity.key"), m.pid(t)
	want := mirror.download(t, file)

	m.upgrade(t, newer, mirror)
	m.serves(t, "0.2.0", ":80")
	if now := m.pid(t); now == before {
		t.Error("the old version runs after the upgrade")
	}
	if m.read(t, "var/lib/millpond/identity.key") != identity || m.read(t, "etc/default/millpond") != settings {
		t.Error("the upgrade lost the box's identity or settings")
	}
	mirror.close()
	if got := mirror.download(t, file); got != want {
		t.Errorf("of the %d bytes that the old version kept, the new one gives %d", len(want), len(got))
	}
	m.isReloaded(t)

	m.isRestartedWhenItHangs(t)
	m.isNotRestartedWithWrongSettings(t, settings)

	// What an administrator disabled stays so over an upgrade.
	m.run(t, "systemctl", "disable", "--now", "millpond")
	m.install(t, newer)
	if m.pid(t) != 0 || m.property(t, "UnitFileState") != "disabled" {
		t.Errorf("a disabled service is %s with process %d after an upgrade", m.property(t, "UnitFileState"), m.pid(t))
	}
	m.run(t, "systemctl", "enable", "--now", "millpond")

	m.run(t, "dpkg", "-r", "millpond")
	if state, err := m.try("systemctl", "is-active", "millpond"); err == nil {
		t.Errorf("a removed service is %s", state)
	}
	if m.read(t, "var/lib/millpond/identity.key") != identity || m.read(t, "etc/default/millpond") != settings {
		t.Error("removal without purge lost the box's identity or settings")
	}
	m.install(t, newer)
	m.serves(t, "0.2.0", ":80")

	m.run(t, "dpkg", "-P", "millpond")
	if left := m.run(t, "find", "/etc", "/usr", "/var", "-iname", "*millpond*", "-not", "-path", "/var/log/journal/*"); left != "" {
		t.Errorf("left after purge:\n%s", left)
	}
	m.run(t, "getent", "passwd", "millpond") // it stays, see postrm
	if got := m.run(t, "systemctl", "list-units", "--failed", "--no-legend", "--plain"); strings.Contains(got, "millpond") {
		t.Errorf("failed units: %s", got)
	}
	// Once more from nothing, with a user that is there.
	m.install(t, newer)
	m.serves(t, "0.2.0", ":3142")
}

// upgrade installs the newer package as the manual says, while a client downloads.
func (m *machine) upgrade(t *testing.T, deb string, mirror *machineMirror) {
	t.Helper()
	got := make(chan error, 1)
	go func() {
		data, err := get(mirror.client, "http://"+mirror.address+slowFile)
		if err == nil && !bytes.Equal(data, contents(slowFile)) {
			err = fmt.Errorf("%d bytes that are not the file's", len(data))
		}
		got <- err
	}()
	select {
	case <-mirror.halfway:
	case err := <-got:
		t.Fatalf("a client got all before half was sent, or %v", err)
	}
	m.copyIn(t, deb)
	commands := strings.Replace(documented(t, "sudo apt install"), "amd64", hosts(t)[0].debian, 1)
	upgraded := make(chan error, 1)
	go func() {
		out, err := m.try("sh", "-c", "cd "+packagesDir+"\n"+commands)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		upgraded <- err
	}()
	m.await(t, "the old version to be stopped", func() bool { return m.property(t, "ActiveState") == "deactivating" })
	mirror.goOn()
	if err := <-got; err != nil {
		t.Errorf("a client that downloads during an upgrade: %v", err)
	}
	if err := <-upgraded; err != nil {
		t.Fatal(err)
	}
}

// isReloaded has the service read files again.
func (m *machine) isReloaded(t *testing.T) {
	t.Helper()
	before := m.pid(t)
	m.run(t, "mv", "/var/log/millpond/access.log", "/var/log/millpond/access.log.1")
	m.run(t, "systemctl", "reload", "millpond")
	m.await(t, "a new access log after a reload", func() bool {
		_, err := os.Stat(filepath.Join(m.root, "var/log/millpond/access.log"))
		return err == nil
	})
	if now := m.pid(t); now != before {
		t.Errorf("a reload replaced process %d by %d", before, now)
	}
}

// answers waits for a box that does not tell systemd when it is ready.
func (m *machine) answers(t *testing.T, listen string) {
	t.Helper()
	m.await(t, "the old version to answer", func() bool {
		_, err := m.try("env", "MILLPOND_LISTEN="+listen, "millpond", "healthcheck")
		return err == nil
	})
}

// serves fails unless the service runs, will run after the next boot, and is ready.
func (m *machine) serves(t *testing.T, number, listen string) {
	t.Helper()
	if state, enabled := m.property(t, "ActiveState"), m.property(t, "UnitFileState"); state != "active" || enabled != "enabled" {
		m.run(t, "systemctl", "status", "--no-pager", "millpond")
		t.Fatalf("the service is %s and %s", state, enabled)
	}
	if got := m.run(t, "millpond", "version"); got != "millpond "+number {
		t.Errorf("the program is %q, want version %s", got, number)
	}
	m.run(t, "env", "MILLPOND_LISTEN="+listen, "millpond", "healthcheck")
}

// isRestartedWhenItHangs stops the process, which then gives no sign of life.
func (m *machine) isRestartedWhenItHangs(t *testing.T) {
	t.Helper()
	m.write(t, "etc/systemd/system/millpond.service.d/test.conf", "[Service]\nWatchdogSec=4s\nRestartSec=100ms\n")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "restart", "millpond")
	before := m.pid(t)
	m.run(t, "sh", "-c", "kill -STOP "+m.property(t, "MainPID"))
	m.await(t, "a hanging box to be restarted", func() bool {
		return m.pid(t) != before && m.property(t, "ActiveState") == "active"
	})
	if got := m.run(t, "journalctl", "--no-pager", "-u", "millpond"); !strings.Contains(got, "Watchdog timeout") {
		t.Errorf("not by the watchdog:\n%s", got)
	}
	// It lives on, by its own signs.
	alive := m.pid(t)
	begun := m.property(t, "WatchdogTimestampMonotonic")
	m.await(t, "a sign of life", func() bool { return m.property(t, "WatchdogTimestampMonotonic") != begun })
	if now := m.pid(t); now != alive {
		t.Errorf("process %d was replaced by %d", alive, now)
	}
	m.run(t, "rm", "-r", "/etc/systemd/system/millpond.service.d")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "restart", "millpond")
}

// isNotRestartedWithWrongSettings checks that a wrong setting is one failed start, which
// the journal explains.
func (m *machine) isNotRestartedWithWrongSettings(t *testing.T, settings string) {
	t.Helper()
	m.write(t, "etc/default/millpond", settings+"MILLPOND_SWARM=perhaps\n")
	if out, err := m.try("systemctl", "restart", "millpond"); err == nil {
		t.Errorf("a wrong setting did not fail: %s", out)
	}
	if state, n := m.property(t, "ActiveState"), m.property(t, "NRestarts"); state != "failed" || n != "0" {
		t.Errorf("with a wrong setting the service is %s after %s restarts", state, n)
	}
	if got := m.run(t, "journalctl", "--no-pager", "-u", "millpond"); !strings.Contains(got, `MILLPOND_SWARM="perhaps"`) {
		t.Errorf("the journal does not say what is wrong:\n%s", got)
	}
	m.write(t, "etc/default/millpond", settings)
	m.run(t, "systemctl", "restart", "millpond")
}
