package container

import (
	"debug/elf"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxImage is what the image may take, in bytes.
const maxImage = 60 << 20

func TestImage(t *testing.T) {
	if got := must(t, "run", "--rm", image, "version"); got != "millpond "+version {
		t.Errorf("millpond version prints %q", got)
	}
	size, err := strconv.ParseInt(must(t, "image", "inspect", "-f", "{{.Size}}", image), 10, 64)
	if err != nil || size > maxImage {
		t.Errorf("the image has %d bytes, %v", size, err)
	}
	t.Logf("image: %.1f MB", float64(size)/1e6)
	var config struct {
		User, StopSignal      string
		Entrypoint, Env       []string
		Volumes, ExposedPorts map[string]struct{}
		Healthcheck           struct{ Test []string }
		Labels                map[string]string
	}
	if err := json.Unmarshal([]byte(must(t, "image", "inspect", "-f", "{{json .Config}}", image)), &config); err != nil {
		t.Fatal(err)
	}
	if config.User != "65532:65532" || config.StopSignal != "SIGTERM" || !slices.Contains(config.Env, "MILLPOND_DATA_DIR=/var/lib/millpond") {
		t.Errorf("user %q, stop signal %q, environment %q", config.User, config.StopSignal, config.Env)
	}
	if _, ok := config.Volumes["/var/lib/millpond"]; !ok || len(config.Volumes) != 1 {
		t.Errorf("volumes: %v", config.Volumes)
	}
	for _, port := range []string{"3142/tcp", "4001/tcp", "4001/udp"} {
		if _, ok := config.ExposedPorts[port]; !ok {
			t.Errorf("%s is not exposed", port)
		}
	}
	if got := config.Healthcheck.Test; !slices.Equal(got, []string{"CMD", "millpond", "healthcheck"}) {
		t.Errorf("health check: %q", got)
	}
	if config.Labels["org.opencontainers.image.version"] != version || config.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("labels: %v", config.Labels)
	}
	for label, want := range map[string]string{"revision": revision, "created": created} {
		if got := config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
}

// TestPlatforms builds for both processors and looks at what is in the image.
func TestPlatforms(t *testing.T) {
	for platform, machine := range map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64} {
		t.Run(platform, func(t *testing.T) {
			dir := t.TempDir()
			// Compiling all for another processor takes minutes, the first time.
			if out, err := docker.Docker(t.Context(), "build", "-q", "--platform", platform, "--build-arg", "VERSION="+version, "-o", dir, root); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			program, err := elf.Open(filepath.Join(dir, "usr/bin/millpond"))
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			if program.Machine != machine {
				t.Errorf("the program is for %v", program.Machine)
			}
			if libraries, err := program.ImportedLibraries(); len(libraries) > 0 || err != nil {
				t.Errorf("it needs libraries: %v, %v", libraries, err)
			}
			for _, keyring := range []string{"debian-archive-keyring.gpg", "ubuntu-archive-keyring.gpg"} {
				if _, err := os.Stat(filepath.Join(dir, "usr/share/keyrings", keyring)); err != nil {
					t.Error(err)
				}
			}
			bare(t, dir)
		})
	}
}

// bare fails on what an image of one program should not have: other programs,
// and files that anybody may change.
func bare(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir)
		if mode := info.Mode(); mode.IsRegular() && (mode.Perm()&0o002 != 0 || mode.Perm()&0o111 != 0 && name != "/usr/bin/millpond") {
			t.Errorf("%s has mode %v", name, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
