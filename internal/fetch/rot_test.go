package fetch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// blobFile is where a held blob is.
func (r *rig) blobFile(d digest.Digest) string {
	return filepath.Join(r.data, "blobs", d.String()[:2], d.String())
}

// overwrite replaces bytes in the middle of a held blob, which is read-only.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("rot"), 100)
	return errors.Join(err, f.Close())
}

// A Release file, its signature or a package that is damaged, shortened or gone is got
// again within the TTL, and no client gets what is wrong.
func TestDamagedOnDisk(t *testing.T) {
	t.Parallel()
	shorten := func(path string) error { return os.Truncate(path, 50) }
	for name, tt := range map[string]struct {
		noInRelease bool
		path        string
		damage      func(string) error
	}{
		"InRelease, damaged":     {false, inRelease, overwrite},
		"InRelease, shortened":   {false, inRelease, shorten},
		"InRelease, gone":        {false, inRelease, os.Remove},
		"Release, damaged":       {true, "dists/stable/Release", overwrite},
		"Release.gpg, damaged":   {true, "dists/stable/Release.gpg", overwrite},
		"Release.gpg, gone":      {true, "dists/stable/Release.gpg", os.Remove},
		"a package, shortened":   {false, "small", shorten},
		"a package, gone":        {false, "small", os.Remove},
		"all blobs of the store": {false, inRelease, func(path string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(path))) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{NoInRelease: tt.noInRelease})
			if tt.path == "small" {
				r.update()
				tt.path = r.packageAt("small")
			}
			if tt.noInRelease { // apt asks for both
				_, _, err := r.read("dists/stable/Release")
				must(t, err)
			}
			want, _, err := r.read(tt.path)
			must(t, err)
			must(t, tt.damage(r.blobFile(digest.Of(want))))
			for range 2 {
				r.want(tt.path, want)
			}
			if !r.held(digest.Of(want)) {
				t.Error("it is not kept again")
			}
		})
	}
}

// A Release file that is damaged between its opening and its sending does not reach a
// client in full, and neither does one of which it reads the beginning first.
func TestDamagedOnceOpened(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	want, _, err := r.read(inRelease)
	must(t, err)
	for _, first := range []int64{0, 10} {
		f, err := r.get(t.Context(), inRelease, digest.Digest{})
		must(t, err)
		_, err = io.CopyN(io.Discard, f.Body, first)
		must(t, err)
		_, err = f.Body.Seek(0, io.SeekStart)
		must(t, err)
		must(t, overwrite(r.blobFile(digest.Of(want))))
		got, err := io.ReadAll(f.Body)
		if !errors.Is(err, store.ErrMismatch) || len(got) == len(want) {
			t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
		}
		must(t, f.Body.Close())
		r.want(inRelease, want)
	}
	// A part of it, and the whole after that.
	f, err := r.get(t.Context(), inRelease, digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	for _, from := range []int64{20, 0, 5} {
		_, err = f.Body.Seek(from, io.SeekStart)
		must(t, err)
		if got, err := io.ReadAll(f.Body); err != nil || !bytes.Equal(got, want[from:]) {
			t.Errorf("from %d: %d bytes, %v", from, len(got), err)
		}
	}
}
