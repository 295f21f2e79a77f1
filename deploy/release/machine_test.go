package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a Debian system that runs in namespaces.
type machine struct {
	root string
	init string // the process ID of its systemd
}

// boot makes and starts a system with systemd, from the machine's Debian archive.
func boot(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		unable(t, "it takes root to boot a system")
	}
	archive, err := output(".", "apt-get", "indextargets", "--format", "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(CODENAME) main",
		"Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main")
	source, _, _ := strings.Cut(archive, "\n")
	words := strings.Fields(source)
	if err != nil || len(words) != 5 {
		unable(t, fmt.Sprintf("apt has no Debian archive: %q, %v", source, err))
	}
	m := &machine{root: filepath.Join(t.TempDir(), "root")}
	// Below it, systemd's own users reach their directories.
	for dir := m.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // the system does not start then, which is told below
	}
	if _, err := output(".", "mmdebstrap", "--quiet", "--variant=apt", "--include=systemd-sysv,adduser", words[3], m.root, source); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child", "sh", "testdata/boot", m.root)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and by --kill-child all of the system
		_ = cmd.Wait()         // killed
	})
	m.await(t, "systemd to start", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		m.init = strings.TrimSpace(string(children))
		if err != nil || m.init == "" {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running") // an error while it starts
		return state == "running" || state == "degraded"
	})
	return m
}

// unable skips a test, and fails it where all must be tested.
func unable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// await polls a condition.
func (m *machine) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			log, _ := m.try("journalctl", "--no-pager", "-n", "30", "-u", "millpond") // the wait is the matter
			t.Fatalf("waited 90 s for %s\n%s", what, log)
		}
		time.Sleep(100 * time.Millisecond) // the other system gives no signal
	}
}

// try runs a command in the system.
func (m *machine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", m.init, "-a", "env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must succeed.
func (m *machine) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.try(args...)
	if err != nil {
		log, _ := m.try("journalctl", "--no-pager", "-n", "30", "-u", "millpond") // the other error is the matter
		t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, log)
	}
	return out
}

// packagesDir is where packages are in a machine, as an administrator would download them.
const packagesDir = "/srv"

// copyIn copies a package into a machine.
func (m *machine) copyIn(t *testing.T, deb string) {
	t.Helper()
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.root, packagesDir, filepath.Base(deb)), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// install installs a package.
func (m *machine) install(t *testing.T, deb string) {
	t.Helper()
	m.copyIn(t, deb)
	m.run(t, "dpkg", "-i", filepath.Join(packagesDir, filepath.Base(deb)))
}

// property is what systemd says of the service.
func (m *machine) property(t *testing.T, name string) string {
	t.Helper()
	return m.run(t, "systemctl", "show", "--value", "-p", name, "millpond.service")
}

// pid is the service's process.
func (m *machine) pid(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(m.property(t, "MainPID"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// write writes a file of the system.
func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read reads a file of the system.
func (m *machine) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
