package carry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/digest"
)

// TestKilledImport kills imports at random. The last one finds what is missing, and all
// together bring each file once.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const files = 2000
	tree := t.TempDir()
	want := make(map[string]bool)
	for i := range files {
		data := fmt.Appendf(make([]byte, 4096+i), "package %d", i)
		name := filepath.Join(tree, fmt.Sprint(i%10), fmt.Sprintf("p%d_1_all.deb", i))
		write(t, name, data)
		if old := time.Now().Add(-time.Hour); i%3 > 0 { // others are copied
			if err := os.Chtimes(name, old, old); err != nil {
				t.Fatal(err)
			}
		}
		want[digest.Of(data).String()] = true
	}
	b := s.box()
	b.Stop()
	killed := 0
	for range 4 {
		cmd := exec.Command(os.Getenv("MILLPOND_BINARY"), "import", tree)
		cmd.Env = b.Env()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(700*time.Millisecond+rand.N(1500*time.Millisecond), func() {
			_ = cmd.Process.Kill() // it may have ended
		})
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == -1 {
			killed++
		}
	}
	t.Logf("killed %d of 4 imports", killed)
	out, err := b.Command(t.Context(), "import", tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	for _, blob := range find(t, filepath.Join(b.Data, "blobs"), "") {
		if !want[filepath.Base(blob)] {
			t.Errorf("%s is none of the files", blob)
		}
		delete(want, filepath.Base(blob))
	}
	if len(want) > 0 {
		t.Errorf("%d of %d files are missing:\n%s", len(want), files, out)
	}
	if left := find(t, filepath.Join(b.Data, "partial"), ""); len(left) > 0 {
		t.Errorf("%d files are left in partial/", len(left))
	}
	out, err = b.Command(t.Context(), "import", tree)
	if err != nil || !strings.Contains(out, fmt.Sprintf("Held before  %d files", files)) {
		t.Errorf("once more: %v\n%s", err, out)
	}
	b.Run() // the box starts on what is there
	if n := b.Summary().Blobs; n != files {
		t.Errorf("the box holds %d files, want %d", n, files)
	}
}
