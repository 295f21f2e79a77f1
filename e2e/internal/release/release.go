// Package release builds earlier versions of the program, for tests of what this one has
// to get on with: their data, and boxes that run them.
package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"millpond/e2e/internal/system"
)

// Earliest is the oldest commit whose data this version reads and whose boxes it gets on
// with. There has been no release yet.
const Earliest = "8508e3862459fc4eaee1949da55b4f308a06955f"

// Program returns the path of the program at a commit. It is built from the history of
// the repository at most once, and stays beside the program that MILLPOND_BINARY names.
func Program(tb testing.TB, commit string) string {
	tb.Helper()
	program := filepath.Join(filepath.Dir(os.Getenv("MILLPOND_BINARY")), "millpond-"+commit[:7])
	if err := build(tb.TempDir(), program, commit); err != nil {
		tb.Fatalf("building the program at commit %s (this needs the repository's full history): %v", commit, err)
	}
	return program
}

func build(dir, program, commit string) (err error) {
	// Tests of several packages run at once.
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(program); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("finding the repository: %w", err)
	}
	source := filepath.Join(dir, "source.tar")
	for _, step := range []struct {
		in   string
		args []string
	}{
		{strings.TrimSpace(string(root)), []string{"git", "archive", "--output", source, commit}},
		{dir, []string{"tar", "--extract", "--file", source}},
		{dir, []string{"go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=" + commit[:7], "-o", program + ".new", "./appliance"}},
	} {
		cmd := exec.Command(step.args[0], step.args[1:]...)
		cmd.Dir, cmd.Env = step.in, append(os.Environ(), "CGO_ENABLED=0")
		if err := system.Finish(cmd); err != nil {
			return err
		}
	}
	return os.Rename(program+".new", program)
}
