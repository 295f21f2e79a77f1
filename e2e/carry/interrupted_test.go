package carry

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// interrupted runs a command until begun holds, ends it by SIGINT, as Ctrl-C does, and
// returns what it printed to standard output.
func interrupted(t *testing.T, b *box.Box, begun func() bool, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Getenv("MILLPOND_BINARY"), args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Env(), &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code tells
		close(ended)
	}()
	early := false
	fault := poll.Until(t.Context(), 60*time.Second, "the command is in the midst of it", poll.That(func() bool {
		select {
		case <-ended:
			early = true
		default:
		}
		return early || begun()
	}))
	_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
	<-ended
	if fault != nil || early || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "interrupted; the same command goes on") {
		t.Fatalf("millpond %v: %v, ended early: %v, %v\n%s%s", args, fault, early, cmd.ProcessState, &out, &errs)
	}
	return out.String()
}

// counted reads a number of files from a report.
func counted(t *testing.T, out, word string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + word + ` +([0-9]+) files`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no %s in %s", word, out)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eachWay runs a test with the box running, and without.
func eachWay(t *testing.T, test func(t *testing.T, b *box.Box, s *site)) {
	for name, running := range map[string]bool{"running": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			b := s.box()
			s.installs(b, "user")
			if !running {
				b.Stop()
			}
			test(t, b, s)
		})
	}
}

// Small files are kept while a large one is hashed, which takes some seconds.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, b *box.Box, s *site) {
		const files = 2000
		tree := t.TempDir()
		for i := range files {
			write(t, filepath.Join(tree, fmt.Sprintf("p%d_1_all.deb", i)), fmt.Appendf(nil, "package %d", i))
		}
		large := filepath.Join(tree, "large_1_all.deb")
		write(t, large, nil)
		if err := os.Truncate(large, 16<<30); err != nil { // which takes no room
			t.Fatal(err)
		}
		before := len(find(t, filepath.Join(b.Data, "blobs"), ""))
		out := interrupted(t, b, func() bool { return len(find(t, filepath.Join(b.Data, "blobs"), "")) > before }, "import", tree)
		taken := counted(t, out, "Imported")
		if taken == 0 || taken > files {
			t.Errorf("until then:\n%s", out)
		}
		if err := os.Remove(large); err != nil {
			t.Fatal(err)
		}
		out = asked(t, b, "import", tree)
		if held, more := counted(t, out, "Held before"), counted(t, out, "Imported"); held != taken || held+more != files {
			t.Errorf("first %d, then:\n%s", taken, out)
		}
		if left := find(t, filepath.Join(b.Data, "partial"), ""); len(left) > 0 {
			t.Errorf("%d files are left in partial/", len(left))
		}
	})
}

// The mirror stalls in the second file.
func TestInterruptedFill(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, b *box.Box, s *site) {
		list, stick := filepath.Join(t.TempDir(), "want.txt"), filepath.Join(t.TempDir(), "stick")
		text := "millpond want-list 1\n"
		paths := []string{"pool/main/h/hello/hello_1.0-1_amd64.deb", "pool/main/o/other/other_1.0_all.deb"}
		s.archive.Add(aptest.Package{Name: "other", Version: "1.0", Size: 50_000})
		s.publish(time.Minute)
		generation := s.archive.Publish(time.Now().Add(-time.Minute))
		for _, p := range paths {
			data := generation.File(p)
			text += fmt.Sprintf("file %s %d %s\n", digest.Of(data), len(data), s.mirror.URL("/debian/"+p))
		}
		write(t, list, []byte(text+"end 2\n"))
		stalled := s.mirror.Inject("*/other_1.0_all.deb", aptest.Stall(1000))
		out := interrupted(t, b, func() bool {
			return len(find(t, filepath.Dir(stick), "hello_1.0-1_amd64.deb")) == 1 && s.mirror.Requests("*/other_1.0_all.deb") > 0
		}, "fill", stick, list)
		if counted(t, out, "Written") != 1 {
			t.Errorf("until then:\n%s", out)
		}
		s.mirror.ClearFaults()
		stalled.Release()
		out = asked(t, b, "fill", stick, list)
		if counted(t, out, "Written") != 1 || counted(t, out, "There before") != 1 {
			t.Errorf("the same once more:\n%s", out)
		}
		for _, p := range paths {
			found := find(t, stick, filepath.Base(p))
			if len(found) != 1 {
				t.Fatalf("%s on the stick: %q", p, found)
			}
			if data, err := os.ReadFile(found[0]); err != nil || digest.Of(data) != digest.Of(generation.File(p)) {
				t.Errorf("%s on the stick: %v", p, err)
			}
		}
	})
}
