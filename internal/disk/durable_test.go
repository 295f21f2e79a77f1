package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A file is replaced as a whole or stays as it was, and nothing else is left.
func TestReplace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	failed := errors.New("failed")
	for _, tt := range []struct {
		text string
		err  error
		want string
	}{{"first", nil, "first"}, {"half", failed, "first"}, {"second", nil, "second"}} {
		err := Replace(file, func(w io.Writer) error {
			_, err := io.WriteString(w, tt.text)
			return errors.Join(err, tt.err)
		})
		got, e := os.ReadFile(file)
		if !errors.Is(err, tt.err) || e != nil || string(got) != tt.want {
			t.Errorf("%s: %v, then the file has %q, %v", tt.text, err, got, e)
		}
		if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
			t.Errorf("%s: %d files, %v", tt.text, len(entries), err)
		}
	}
}

func TestMove(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for name, linked := range map[string]bool{"another file is there": false, "the same file is there": true} {
		for file, text := range map[string]string{from: "new", to: "old"} {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if linked {
			if err := errors.Join(os.Remove(to), os.Link(from, to)); err != nil {
				t.Fatal(err)
			}
		}
		if err := Move(from, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(to); err != nil || string(text) != "new" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the first name is left: %v", name, err)
		}
	}
	if err := Move(from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
}
