package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/disk/disktest"
)

// removeUnder removes a directory in which a running box makes files.
func removeUnder(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		err := os.RemoveAll(dir)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.ENOTEMPTY) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// SIGTERM ends a box within the time that supervisors give it, whatever has become of
// its database, and the exit code says that it was not closed.
func TestStopWithoutDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	tests := []struct {
		name string
		lose func(t *testing.T, dir string)
	}{
		{"read-only", makeReadOnly},
		{"files removed", func(t *testing.T, dir string) {
			removeUnder(t, filepath.Join(dir, "db"))
		}},
		{"all removed", func(t *testing.T, dir string) {
			for _, part := range []string{"db", "blobs", "partial"} {
				removeUnder(t, filepath.Join(dir, part))
			}
		}},
	}
	for _, tt := range tests {
		dir := disktest.Tmpfs(t, 0, "size=200m")
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, aptest.MirrorOptions{}, 100_000)
			p := spawn(t, s.environ(dir))
			c := newClient(t, p.url)
			base := s.Mirror.URL("/debian")
			c.update(t, s, base)
			tt.lose(t, dir)
			// What is to be written when the box stops.
			resp, err := c.Get(base + "/" + s.debs[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			c.CloseIdleConnections()
			begun := time.Now()
			if err := p.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			err = p.Wait()
			took := time.Since(begun)
			t.Logf("stopped after %v: %v", took.Round(time.Second/10), err)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitFault {
				t.Errorf("the process: %v, want exit code %d", err, exitFault)
			}
			if took > 30*time.Second {
				t.Errorf("it took %v to stop", took)
			}
		})
	}
}

// makeReadOnly lets no files be made in the database's directory any more, until the
// test ends.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	db := filepath.Join(dir, "db")
	for _, flags := range []uintptr{syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY} {
		if err := syscall.Mount(db, db, "", flags, ""); err != nil {
			t.Fatalf("mounting (needs root): %v", err)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(db, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
