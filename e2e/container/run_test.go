package container

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/machine"
)

// TestFirstPackage is what the README promises: one line, and apt of a client
// has its package from the box within ten seconds.
func TestFirstPackage(t *testing.T) {
	s := newSite(t, map[string]int{"first": 2 << 20})
	client := s.client("bridge", "")
	begun := time.Now()
	b := s.run(image)
	ready := time.Since(begun)
	client.sh(`echo 'Acquire::http::Proxy "` + b.url() + `";' > /etc/apt/apt.conf.d/01millpond; apt-get update; apt-get install -y first`)
	took := time.Since(begun)
	t.Logf("docker run to ready: %.2f s, to the first package installed: %.2f s", ready.Seconds(), took.Seconds())
	if took > 10*time.Second {
		t.Errorf("the first package took %v", took)
	}
	if got, want := b.summary().ClientBytes, int64(len(s.debs["first"].Data)); got < want {
		t.Errorf("the box sent %d bytes, the package alone has %d", got, want)
	}
	t.Logf("idle: %.1f MB resident", b.metric("process_resident_memory_bytes")/1e6)
}

// TestConfiguredMirror sets a client up by the box's script, installs a package
// of the machine's own mirror and undoes the setting up.
func TestConfiguredMirror(t *testing.T) {
	mirror, err := machine.Configured()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, nil)
	b := s.run(image, "-e", "MILLPOND_ALLOW_UPSTREAMS="+mirror.Host())
	g := newGuest(t)
	// A minimal system has neither curl nor wget, but apt's own helper.
	said := g.sh(`/usr/lib/apt/apt-helper download-file ` + b.url() + `/setup.sh /tmp/setup.sh; sh /tmp/setup.sh`)
	if !strings.Contains(said, "apt uses "+b.url()) {
		t.Errorf("setup.sh says %q", said)
	}
	g.sh("apt-get update; apt-get install -y hello; hello")
	if got := b.summary(); got.FromMirror == 0 || got.Blobs == 0 {
		t.Errorf("nothing came through the box: %+v", got)
	}
	// What verified the Release is the image's own keyring.
	if unsigned := strings.Contains(b.logs(), "no archive keys"); unsigned {
		t.Errorf("the box has no keys:\n%s", b.logs())
	}
	g.sh("sh /tmp/setup.sh --remove; test ! -e /etc/apt/apt.conf.d/01millpond")
}

func TestHardening(t *testing.T) {
	s := newSite(t, map[string]int{"some": 1000})
	b := s.run(image)
	s.fetch(b, "some")
	confined(t, b)
}

// confined fails if the box may do more than a box needs.
func confined(t *testing.T, b *instance) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + b.state("{{.State.Pid}}") + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "NoNewPrivs:\t1", "Seccomp:\t2",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
	} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("not %q in\n%s", want, status)
		}
	}
	if b.state("{{.HostConfig.ReadonlyRootfs}}") != "true" {
		t.Error("the root can be written")
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.run(image)
	b.until("the engine calls the box healthy", func() bool { return b.state("{{.State.Health.Status}}") == "healthy" })
	if out, err := docker.Docker(t.Context(), "run", "--rm", image, "healthcheck"); err == nil {
		t.Errorf("a health check without a box says %q", out)
	}
}

func TestLimits(t *testing.T) {
	s := newSite(t, nil)
	for _, tt := range []struct {
		option       string
		procs, bytes float64
	}{
		{"--memory=128m", float64(runtime.NumCPU()), 0.9 * 128 * (1 << 20)},
		{"--memory=4g", float64(runtime.NumCPU()), 200 << 20},
		{"--cpuset-cpus=0", 1, 200 << 20},
		// Go takes two at least, so that a machine of two shows nothing here.
		{"--cpus=1.5", float64(min(runtime.NumCPU(), 2)), 200 << 20},
	} {
		t.Run(tt.option, func(t *testing.T) {
			s.t = t
			b := s.run(image, tt.option)
			if got := b.metric("go_sched_gomaxprocs_threads"); got != tt.procs {
				t.Errorf("GOMAXPROCS is %v, want %v", got, tt.procs)
			}
			if got := b.metric("go_gc_gomemlimit_bytes"); got != float64(int64(tt.bytes)) {
				t.Errorf("GOMEMLIMIT is %.0f, want %.0f", got, tt.bytes)
			}
		})
	}
}

// TestSegment has two boxes on one network find each other by themselves.
func TestSegment(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	network := must(t, "network", "create", "segment")
	t.Cleanup(func() { must(t, "network", "rm", network) })
	a, b := s.run(image, "--network", network), s.run(image, "--network", network)
	for _, box := range []*instance{a, b} {
		box.until("the boxes are connected", func() bool { return len(box.peers()) == 1 })
	}
}

// TestUser runs a box as a user that is not the image's, on a directory that is the user's.
func TestUser(t *testing.T) {
	s := newSite(t, map[string]int{"some": 1000})
	for _, user := range []string{"1000:1000", "1000650000:0"} { // the second as OpenShift picks it
		uid, gid, _ := strings.Cut(user, ":")
		dir := t.TempDir()
		if out, err := exec.Command("chown", user, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		// testing makes the directory above for root alone.
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		b := s.run(image, "--user", user, "-v", dir+dataDir)
		s.fetch(b, "some")
		status, err := os.ReadFile("/proc/" + b.state("{{.State.Pid}}") + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\nUid:\t" + uid + "\t", "\nGid:\t" + gid + "\t", "\nCapEff:\t0000000000000000\n"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("not %q in\n%s", want, status)
			}
		}
	}
}

// TestReadme runs the lines of the README and the manual as they stand there, each once.
func TestReadme(t *testing.T) {
	var lines []string
	for _, page := range []string{"README.md", "docs/using/network.md", "docs/start/office.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		before := len(lines)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "docker run ") {
				lines = append(lines, line)
			}
		}
		if len(lines) == before {
			t.Errorf("%s has no line that runs a box", page)
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	for _, line := range lines {
		b := &instance{t: t, id: must(t, strings.Fields(line)[1:]...)}
		b.until("the box answers on its port", func() bool {
			_, err := get(http.DefaultClient, "http://"+docker.IP+":3142/readyz")
			return err == nil
		})
		confined(t, b)
		b.remove()
		must(t, "volume", "rm", "millpond")
	}
	if len(lines) != 2 {
		t.Errorf("there are %d different lines that run a box: %q", len(lines), lines)
	}
}
