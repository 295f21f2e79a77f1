package disk

import (
	"errors"
	"io"
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
