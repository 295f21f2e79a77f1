package container

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
)

const quadlet = root + "/deploy/podman/"

// keysOf returns the values of a section of a quadlet's file, in order.
func keysOf(t *testing.T, file, section string) (keys [][2]string) {
	t.Helper()
	b, err := os.ReadFile(quadlet + file)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(b), "["+section+"]\n")
	if !found {
		t.Fatalf("%s has no section %s", file, section)
	}
	text, _, _ = strings.Cut(text, "\n[")
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			keys = append(keys, [2]string{key, value})
		}
	}
	return keys
}

// podmanOptions makes of the quadlet what its generator would: options of podman run, and
// the image (podman-systemd.unit(5)). Debian 12 has no generator. Ports are the host's in
// the test, and must be those of the box therefore.
func podmanOptions(t *testing.T, environment string) (options []string, image string) {
	t.Helper()
	for _, k := range keysOf(t, "millpond.container", "Container") {
		switch key, value := k[0], k[1]; key {
		case "Image":
			image = value
		case "ContainerName":
			options = append(options, "--name", value)
		case "Volume":
			unit, at, _ := strings.Cut(value, ":")
			options = append(options, "-v", keysOf(t, unit, "Volume")[0][1]+":"+at)
		case "PublishPort":
			if outside, inside, _ := strings.Cut(value, ":"); outside != inside {
				t.Errorf("port %s is published as %s", inside, outside)
			}
		case "EnvironmentFile":
			options = append(options, "--env-file", environment)
		case "ReadOnly":
			options = append(options, "--read-only="+value)
		case "DropCapability":
			options = append(options, "--cap-drop", value)
		case "NoNewPrivileges":
			if value == "true" {
				options = append(options, "--security-opt", "no-new-privileges")
			}
		case "PodmanArgs":
			options = append(options, strings.Fields(value)...)
		default:
			t.Fatalf("the test does not know what quadlet makes of %s=%s", key, value)
		}
	}
	return options, image
}

// rootless is podman as an ordinary user.
type rootless struct {
	t          *testing.T
	user, home string
}

// newRootless makes a user, until the test ends.
func newRootless(t *testing.T) *rootless {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("podman is missing; .ci/packages installs it")
		}
		t.Skip("podman is missing")
	}
	r := &rootless{t, "millpond-" + strings.ToLower(rand.Text()[:8]), t.TempDir()}
	// testing makes the directory above for root alone.
	if err := os.Chmod(filepath.Dir(r.home), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.remove)
	for _, command := range [][]string{
		{"useradd", "--home-dir", r.home, "--no-create-home", "--shell", "/bin/sh", r.user},
		{"usermod", "--add-subuids", "300000-365535", "--add-subgids", "300000-365535", r.user},
		{"install", "-d", "-m", "700", "-o", r.user, filepath.Join(r.home, "run")},
		{"chown", r.user, r.home},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	return r
}

// remove ends the process that keeps the user's namespace, and removes the user.
func (r *rootless) remove() {
	if b, err := os.ReadFile(filepath.Join(r.home, "run/libpod/tmp/pause.pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if out, err := exec.Command("userdel", "--force", r.user).CombinedOutput(); err != nil {
		r.t.Errorf("removing the user: %v\n%s", err, out)
	}
}

// podman runs a command of podman. The driver vfs and cgroupfs need neither /dev/fuse nor a
// systemd of the user.
func (r *rootless) podman(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "runuser", append([]string{"-u", r.user, "--", "env", "HOME=" + r.home, "XDG_RUNTIME_DIR=" + r.home + "/run",
		"podman", "--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--root=" + r.home + "/store", "--runroot=" + r.home + "/run/store"}, args...)...)
	cmd.Dir = r.home
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestQuadlet runs the box by podman without root, as the quadlet says, but on the host's
// network: publishing ports needs /dev/net/tun, which the machine of a test may keep to root.
func TestQuadlet(t *testing.T) {
	s := newSite(t, map[string]int{"some": 1 << 20})
	r := newRootless(t)
	archive := filepath.Join(r.home, "image.tar")
	must(t, "save", "-o", archive, image)
	if err := os.Chmod(archive, 0o644); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	free.Close()
	environment := filepath.Join(r.home, "millpond.env")
	settings := "MILLPOND_LISTEN=" + listen + "\nMILLPOND_SWARM=false\nMILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr() + "\n"
	if err := os.WriteFile(environment, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	options, name := podmanOptions(t, environment)
	loaded := r.podman("load", "-i", archive)
	r.podman("tag", loaded[strings.LastIndex(loaded, " ")+1:], name)
	r.podman(append(append([]string{"run", "-d", "--network=host"}, options...), name)...)
	t.Cleanup(func() { r.podman("rm", "-f", "millpond") })

	b := "http://" + listen
	poll.Must(t, time.Minute, "the box is ready", func() error {
		_, err := get(http.DefaultClient, b+"/readyz")
		return err
	})
	got, err := get(http.DefaultClient, b+"/"+strings.TrimPrefix(s.url("some"), "http://"))
	if err != nil || string(got) != string(s.debs["some"].Data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	status, err := os.ReadFile("/proc/" + r.podman("inspect", "-f", "{{.State.Pid}}", "millpond") + "/status")
	if err != nil || !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") || strings.Contains(string(status), "\nUid:\t0\t") {
		t.Errorf("the box has rights: %v\n%s", err, status)
	}
	r.podman("stop", "millpond")
	if code := r.podman("inspect", "-f", "{{.State.ExitCode}}", "millpond"); code != "0" {
		t.Errorf("the box ended with %s", code)
	}
}
