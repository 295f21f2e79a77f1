package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/aptest"
)

// tree describes all that is in dir: names, modes, times of change and contents.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&all, "%s %v %d %v %x\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano(), sha256.Sum256(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A box that does not understand the format of a data directory says so and changes
// nothing in it, whichever command opens it.
func TestOtherFormatsAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000)
	dir := t.TempDir()
	environ := s.environ(dir)
	b := start(t, environ)
	c := newClient(t, b.url)
	base := s.Mirror.URL("/debian")
	c.update(t, s, base)
	c.want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
	c.CloseIdleConnections()
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	format := filepath.Join(dir, "format")
	if text, err := os.ReadFile(format); err != nil || string(text) != "1\n" {
		t.Errorf("the box notes the format %q, %v", text, err)
	}

	tests := []struct {
		name, content string
		parts         []string
	}{
		{"the next", "2\n", []string{"format 2", "up to 1", "later version"}},
		{"a much later one", "99999999999999999999999", []string{"format 99999999999999999999999,", "up to 1", "later version"}},
		{"nothing", "", []string{`has ""`, "remove it"}},
		{"zero", "0\n", []string{`has "0\n"`, "remove it"}},
		{"a word", "one\n", []string{`has "one\n"`, "remove it"}},
		{"zero bytes", "\x00\x00", []string{`has "\x00\x00"`, "remove it"}},
		{"a long file", "1" + strings.Repeat(" ", 1<<20), []string{"remove it"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(format, []byte(tt.content), 0o644); err != nil {
				t.Fatal(err)
			}
			parts := append(tt.parts, "MILLPOND_DATA_DIR="+dir, "nothing was changed")
			before := tree(t, dir)
			wantFault(t, environ, parts...)
			code, _, stderr := program(t, environ, "erase-client", "10.1.2.3")
			for _, part := range parts {
				if code != 1 || !strings.Contains(stderr, part) {
					t.Errorf("erase-client: exit code %d, want 1; its output is to have %q: %s", code, part, stderr)
				}
			}
			if after := tree(t, dir); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}

	t.Run("none", func(t *testing.T) { // as versions before the number left it
		if err := os.Remove(format); err != nil {
			t.Fatal(err)
		}
		s.Mirror.Down()
		b := start(t, environ)
		c := newClient(t, b.url)
		c.want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
		c.CloseIdleConnections()
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(format); err != nil || string(text) != "1\n" {
			t.Errorf("the box notes the format %q, %v", text, err)
		}
	})
}

// A full disk, above all: a directory without a number still counts as what it is.
func TestFormatThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(formatFile(dir), 0o755); err != nil { // nothing can be renamed to it
		t.Fatal(err)
	}
	if err := writeFormat(dir, 1); err == nil {
		t.Error("no error")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("it left %v, %v", left, err)
	}
}
