package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStartWriting(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	const text = "some bytes"
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := StartWriting(f); err != nil {
		t.Error(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	if StartWriting(f) == nil {
		t.Error("a closed file is written")
	}
}
