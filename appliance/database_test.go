package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

// A box whose database is damaged starts, has its figures, and serves all it had while
// the mirror is away, its clients' updates among it; the page tells what happened.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"MANIFEST", "*.sst", "KEYREGISTRY"} {
		t.Run(strings.Trim(file, "*."), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, aptest.MirrorOptions{}, 10_000, 600_000)
			dir := t.TempDir()
			environ := s.environ(dir)
			base := s.Mirror.URL("/debian")
			c, before := servedOnce(t, s, environ)
			files, err := filepath.Glob(filepath.Join(dir, "db", file))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, file := range files {
				if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			sent := s.Mirror.BytesSent("*")
			s.Mirror.Down()
			b := start(t, environ)
			again := newClient(t, b.url)
			again.update(t, s, base)
			for _, deb := range s.debs {
				again.want(t, base+"/"+deb.Path, deb.Data)
			}
			after := figures(t, b, func() int64 { return c.got + again.got }, func() int64 { return sent })
			if !after.Since.Equal(before.Since) || after.Blobs != before.Blobs || after.BlobBytes != before.BlobBytes {
				t.Errorf("after the damage %+v, before it %+v", after, before)
			}
			told := false
			for _, f := range b.faults() {
				if f.Fatal {
					t.Errorf("fatal: %s: %s", f.What, f.Why)
				}
				told = told || f.What == "database" && strings.Contains(f.Why, "db.damaged-") && strings.Contains(f.Why, "as they were at")
			}
			if !told {
				t.Errorf("faults: %+v", b.faults())
			}
		})
	}
}

// An identity key that is damaged is restored, also together with the database; one that
// was removed makes room for a new one.
func TestDamagedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	dir := t.TempDir()
	environ := s.environ(dir, "MILLPOND_SWARM=true", "MILLPOND_SWARM_LISTEN=/ip4/127.0.0.1/tcp/0", "MILLPOND_SWARM_LOCAL=false")
	file := filepath.Join(dir, "identity.key")
	var first []byte
	for _, damage := range []func(b []byte) error{
		func([]byte) error { return nil },
		func(b []byte) error { return os.WriteFile(file, b[:20], 0o600) },
		func(b []byte) error {
			b[10] ^= 1
			return errors.Join(os.WriteFile(file, b, 0o600), os.Truncate(filepath.Join(dir, "db", "MANIFEST"), 3))
		},
	} {
		if err := damage(bytes.Clone(first)); err != nil {
			t.Fatal(err)
		}
		b := start(t, environ)
		got, err := os.ReadFile(file)
		if err != nil || first != nil && !bytes.Equal(got, first) {
			t.Errorf("another key than before, %v", err)
		}
		first = got
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	start(t, environ)
	if got, err := os.ReadFile(file); err != nil || bytes.Equal(got, first) {
		t.Errorf("a removed key came back, or %v", err)
	}
}

// A suite, or a blob, whose row cannot be read costs only that.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000)
	dir := t.TempDir()
	environ := s.environ(dir)
	base := s.Mirror.URL("/debian")
	servedOnce(t, s, environ)
	db, err := openDatabase(dir, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, db.Table("catalog"), "s")
	spoil(t, db.Table("store"), "b")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Mirror.Down()
	b := start(t, environ)
	c := newClient(t, b.url)
	c.update(t, s, base)
	c.want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
}

// spoil makes all rows under a prefix unreadable.
func spoil(t *testing.T, table *kv.Table, prefix string) {
	t.Helper()
	n := 0
	err := table.Scan([]byte(prefix), nil, func(key, _ []byte) bool {
		n++
		if err := table.Put(key, []byte("{")); err != nil {
			t.Error(err)
		}
		return true
	})
	if err != nil || n == 0 {
		t.Fatalf("%d rows spoiled, %v", n, err)
	}
}

// A blob that is deleted, or cut short, under the running box is downloaded again.
func TestDamagedBlobs(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000, 600_000)
	dir := t.TempDir()
	base := s.Mirror.URL("/debian")
	b := start(t, s.environ(dir))
	c := newClient(t, b.url)
	c.update(t, s, base)
	for _, deb := range s.debs {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
	for i, deb := range s.debs {
		name := digest.Of(deb.Data).String()
		file := filepath.Join(dir, "blobs", name[:2], name)
		err := os.Chmod(file, 0o600)
		if i == 0 {
			err = errors.Join(err, os.Remove(file))
		} else {
			err = errors.Join(err, os.Truncate(file, 1000))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, deb := range s.debs {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
}
