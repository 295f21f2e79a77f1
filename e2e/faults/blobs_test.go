package faults

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// blobs are the files in blobs/ of a data directory.
type blobs struct {
	dir  string
	seen map[string]bool // names, hashed before
}

func newBlobs(data string) *blobs {
	return &blobs{dir: filepath.Join(data, "blobs"), seen: make(map[string]bool)}
}

// torn returns those, among the ones not hashed before, whose bytes are not those that
// their names say.
func (b *blobs) torn(t *testing.T) (torn []string) {
	t.Helper()
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || b.seen[d.Name()] {
			return err
		}
		sum, err := hashFile(path)
		if err != nil {
			return err
		}
		b.seen[d.Name()] = true
		if fmt.Sprintf("%x", sum) != d.Name() {
			torn = append(torn, d.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return torn
}

// holds reports whether there is a blob.
func (b *blobs) holds(sum [32]byte) bool {
	_, err := os.Stat(b.path(sum))
	return !errors.Is(err, fs.ErrNotExist)
}

func (b *blobs) path(sum [32]byte) string {
	name := fmt.Sprintf("%x", sum)
	return filepath.Join(b.dir, name[:2], name)
}

func hashFile(path string) (sum [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}
