package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

// brought is a file that somebody has made, an hour ago.
func brought(t *testing.T, name, content string) *os.File {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func as(m Meta) func(digest.Digest) (Meta, error) {
	return func(digest.Digest) (Meta, error) { return m, nil }
}

func TestIntake(t *testing.T) {
	s := newBox(t, 1<<30)
	dir := s.dir
	in := s.NewIntake()
	src := filepath.Join(dir, "hello_1_all.deb")
	taken, err := in.Add(t.Context(), brought(t, src, "hello"), as(Meta{Name: "hello_1_all.deb"}))
	if err != nil || taken.Held || taken.Digest != digest.Of([]byte("hello")) {
		t.Fatalf("Add: %+v, %v", taken, err)
	}
	if _, err := s.Stat(taken.Digest); err == nil {
		t.Error("held before Commit")
	}
	if again, err := in.Add(t.Context(), brought(t, src+".2", "hello"), as(Meta{})); err != nil || !again.Held {
		t.Errorf("the same bytes again: %+v, %v", again, err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(taken.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil || string(got) != "hello" || b.Info().Name != "hello_1_all.deb" {
		t.Errorf("blob %q, %+v, %v", got, b.Info(), err)
	}
	a, err := os.Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	if blob, err := b.Stat(); err != nil || taken.Way == disk.Linked && !os.SameFile(a, blob) || taken.Way == disk.Copied {
		t.Errorf("way %v on one file system, %v", taken.Way, err)
	}
	if u := s.Usage(); u.Blobs != 1 || u.Bytes != 5 || u.Partial != 0 {
		t.Errorf("usage %+v", u)
	}
	if held, err := in.Add(t.Context(), brought(t, src+".3", "hello"), as(Meta{})); err != nil || !held.Held || in.Len() != 0 {
		t.Errorf("a held file: %+v, %d added, %v", held, in.Len(), err)
	}
}

func TestIntakeCopiesWhatMayChange(t *testing.T) {
	s := newBox(t, 1<<30)
	dir := s.dir
	in := s.NewIntake()
	name := filepath.Join(dir, "coming.deb")
	f := brought(t, name, "first part")
	if err := os.Chtimes(name, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	taken, err := in.Add(t.Context(), f, as(Meta{}))
	if err != nil || taken.Way == disk.Linked {
		t.Fatalf("a file that was just written: %+v, %v", taken, err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("other part"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := s.OpenVerified(t.Context(), taken.Digest)
	if err != nil {
		t.Fatalf("the blob changed with the file: %v", err)
	}
	b.Close()
}

func TestIntakeRefuses(t *testing.T) {
	s := newBox(t, 1<<30)
	dir := s.dir
	in := s.NewIntake()
	refused := errors.New("not wanted")
	if _, err := in.Add(t.Context(), brought(t, filepath.Join(dir, "a"), "a"), func(digest.Digest) (Meta, error) {
		return Meta{}, refused
	}); !errors.Is(err, refused) {
		t.Errorf("describe's error: got %v", err)
	}
	// As a download that goes on while the file is hashed.
	growing := filepath.Join(dir, "growing")
	if _, err := in.Add(t.Context(), brought(t, growing, "part"), func(digest.Digest) (Meta, error) {
		return Meta{}, os.WriteFile(growing, []byte("more of it"), 0o644)
	}); !errors.Is(err, ErrChanged) {
		t.Errorf("a file that changes: got %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := in.Add(ended, brought(t, filepath.Join(dir, "b"), "b"), as(Meta{})); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v", err)
	}
	if _, err := in.Add(t.Context(), brought(t, filepath.Join(dir, "big"), string(make([]byte, 2<<20))), as(Meta{})); err != nil {
		t.Fatal(err)
	}
	in.Discard()
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	if u := s.Usage(); u.Blobs != 0 || u.Partial != 0 {
		t.Errorf("usage %+v", u)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "partial")); err != nil || len(left) != 0 {
		t.Errorf("files left in partial/: %v, %v", left, err)
	}
}

func TestIntakeEvictsNothing(t *testing.T) {
	s := newBox(t, 4<<20)
	dir := s.dir
	for i := range 3 {
		s.put(i, 1<<20)
	}
	in := s.NewIntake()
	_, err := in.Add(t.Context(), brought(t, filepath.Join(dir, "new"), string(make([]byte, 2<<20))), as(Meta{}))
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	if u := s.Usage(); u.Blobs != 3 || u.Partial != 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestIntakeAfterFaults(t *testing.T) {
	for _, op := range []string{"create", "sync", "name", "syncdir"} {
		t.Run(op, func(t *testing.T) {
			s := newBox(t, 1<<30)
			dir, faulty := s.dir, false
			s.fault = func(at string) error {
				if faulty && at == op {
					return errors.New("the disk is ill")
				}
				return nil
			}
			in := s.NewIntake()
			faulty = op == "create"
			taken, err := in.Add(t.Context(), brought(t, filepath.Join(dir, "f"), "hello"), as(Meta{}))
			if err == nil {
				faulty = true
				err = in.Commit()
			}
			if !errors.Is(err, ErrDisk) {
				t.Errorf("got %v, want ErrDisk", err)
			}
			faulty = false
			if _, err := s.Stat(taken.Digest); err == nil {
				t.Error("held after an error")
			}
			s.check()
			if _, err := in.Add(t.Context(), brought(t, filepath.Join(dir, "f"), "hello"), as(Meta{})); err != nil {
				t.Fatal(err)
			}
			if err := in.Commit(); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
		})
	}
}
