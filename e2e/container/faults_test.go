package container

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStartFaults has each fault end the box at once with one line that names
// the setting and the cure.
func TestStartFaults(t *testing.T) {
	s := newSite(t, nil)
	taken, held := volume(t), volume(t)
	s.run(image, "-v", taken+dataDir)
	must(t, "stop", s.run(image, "-v", held+dataDir).id)
	// The host's network is the engine's own.
	onHost := must(t, "run", "-d", "--network", "host", image)
	t.Cleanup(func() { must(t, "rm", "-fv", onHost) })
	(&instance{t: t}).until("the box on the host's network is ready", func() bool {
		_, err := get(http.DefaultClient, "http://"+docker.IP+":3142/readyz")
		return err == nil
	})
	dir := t.TempDir()
	key := filepath.Join(dir, "swarm.key")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(key, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, options string
		says          []string
	}{
		{"a volume that root owns", "-v " + dir + dataDir, []string{"MILLPOND_DATA_DIR", "permission denied", "65532"}},
		{"a volume that cannot be written", "-v " + volume(t) + dataDir + ":ro", []string{"MILLPOND_DATA_DIR", "read-only", "may write"}},
		{"a held volume that cannot be written", "-v " + held + dataDir + ":ro", []string{"MILLPOND_DATA_DIR", "read-only", "may write"}},
		{"no room", "--mount type=tmpfs,destination=/var/lib/millpond,tmpfs-size=8m", []string{"MILLPOND_DATA_DIR", "space", "make room"}},
		{"no volume", "-e MILLPOND_DATA_DIR=/data", []string{"MILLPOND_DATA_DIR=/data", "read-only", "may write"}},
		{"another box's volume", "-v " + taken + dataDir, []string{"MILLPOND_DATA_DIR", "in use", "another"}},
		{"a taken port", "--network host -e MILLPOND_SWARM=false", []string{"MILLPOND_LISTEN", "in use", "free port"}},
		{"a taken swarm port", "--network host -e MILLPOND_LISTEN=:3143", []string{"MILLPOND_SWARM_LISTEN", "in use"}},
		{"a key that root owns", "-v " + key + ":/swarm.key:ro -e MILLPOND_SWARM_KEY_FILE=/swarm.key", []string{"MILLPOND_SWARM_KEY_FILE", "permission denied"}},
		{"a misspelt setting", "-e MILLPOND_CACHESIZE=1GB", []string{"MILLPOND_CACHESIZE", "no such setting"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			args := append(append([]string{"run", "--rm"}, hardened...), append(strings.Fields(tt.options), image)...)
			out, err := docker.Command(ctx, "docker", args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() < 1 || exit.ExitCode() > 2 {
				t.Fatalf("it ended with %v:\n%s", err, out)
			}
			for _, want := range tt.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("not %q in\n%s", want, out)
				}
			}
			// A configuration's faults are a list, between two lines about it.
			if lines := strings.Count(string(out), "\n"); lines > 1 && exit.ExitCode() == 1 {
				t.Errorf("%d lines:\n%s", lines, out)
			}
		})
	}
}
