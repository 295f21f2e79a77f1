package apt

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervised is after how long supervisors commonly kill what they told to stop.
const supervised = 30 * time.Second

// readOnly lets nothing be made or opened for writing below a directory any more, and
// returns what undoes that.
func readOnly(t *testing.T, dir string) (undo func()) {
	t.Helper()
	for _, args := range [][]string{{"--bind", dir, dir}, {"-o", "remount,bind,ro", dir}} {
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount %v (needs root): %v: %s", args, err, out)
		}
	}
	mounted := true
	undo = func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); mounted && err != nil {
			t.Errorf("%v: %s", err, out)
		}
		mounted = false
	}
	t.Cleanup(undo)
	return undo
}

// SIGTERM ends the program before a supervisor kills it, whatever has become of its disk
// while a client was using it. Once the disk is well, it starts and serves again.
func TestStopOnALostDisk(t *testing.T) {
	t.Parallel()
	remove := func(parts ...string) func(*testing.T, string) func() {
		return func(t *testing.T, data string) func() {
			for _, part := range parts {
				err := os.RemoveAll(filepath.Join(data, part))
				for tries := 0; errors.Is(err, syscall.ENOTEMPTY) && tries < 100; tries++ { // the box has made a file meanwhile
					err = os.RemoveAll(filepath.Join(data, part))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			return func() {}
		}
	}
	fill := func(t *testing.T, data string) (undo func()) {
		f := newFiller(t, filepath.Dir(data))
		f.fill()
		return f.release
	}
	for name, lose := range map[string]func(t *testing.T, data string) (undo func()){
		"database removed":           remove("db"),
		"database and files removed": remove("db", "blobs", "partial", "db.kept"),
		"database read-only":         func(t *testing.T, data string) func() { return readOnly(t, filepath.Join(data, "db")) },
		"data read-only":             readOnly,
		"no room":                    fill,
		"database removed and no room": func(t *testing.T, data string) func() {
			remove("db")(t, data)
			return fill(t, data)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(mount(t, "tmpfs"), "data")
			s := newSite(t, "MILLPOND_DATA_DIR="+data)
			c := s.client(t)
			c.MustApt("update")
			c.MustApt("install", "--download-only", "pkg00")
			undo := lose(t, data)
			c.MustApt("install", "--download-only", "pkg01", "pkg02") // and so there is something to write

			begun := time.Now()
			pid := s.box.PID()
			late := time.AfterFunc(2*supervised, func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // it may have ended
			err := s.box.Terminate()
			late.Stop()
			took := time.Since(begun)
			t.Logf("stopped after %v: %v", took.Round(time.Second/10), err)
			if took > supervised {
				t.Errorf("it took %v to stop", took)
			}
			var exit *exec.ExitError
			if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
				t.Errorf("it ended with %v", err)
			}
			if log := s.box.Log(); err != nil && !strings.Contains(log, "millpond: ") {
				t.Errorf("it does not say why it failed:\n%s", log)
			}
			undo()
			s.box.Run()
			c.Clean()
			c.MustApt("update")
			c.MustApt("install", "--download-only", "pkg00", "pkg01")
		})
	}
}
