package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	someInfo  = Info{DataFormat: 1, Version: "1.2.3", Made: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
	someFiles = []File{
		Content(Settings, []byte("MILLPOND_LISTEN=:3142\n")), Content(Identity, []byte("key")), Content(Rows, bytes.Repeat([]byte("row"), 1000)),
	}
)

func write(t testing.TB, info Info, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, info, files...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read restores a backup to a new directory.
func read(t testing.TB, r io.Reader) (dir string, info Info, names []string, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "restored")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := Open(r)
	if err != nil {
		return dir, info, nil, err
	}
	names, err = b.Extract(dir)
	return dir, b.Info, names, err
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	text := write(t, someInfo, someFiles...)
	if size, err := Size(someInfo, someFiles...); err != nil || size != int64(len(text)) {
		t.Errorf("the size is said to be %d, %v; it is %d", size, err, len(text))
	}
	dir, info, names, err := read(t, bytes.NewReader(text))
	if err != nil || info != (Info{1, 1, "1.2.3", someInfo.Made}) || !slices.Equal(names, []string{Settings, Identity, Rows}) {
		t.Errorf("read %+v, %q, %v", info, names, err)
	}
	for name, want := range map[string]string{Settings: "MILLPOND_LISTEN=:3142\n", Identity: "key", Rows: strings.Repeat("row", 1000)} {
		file := filepath.Join(dir, name)
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s has %.50q, %v", name, got, err)
		}
		if mode, err := os.Stat(file); err != nil || mode.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, mode.Mode(), err)
		}
	}
}

// Whatever is cut off or changed, the backup is not taken for a whole one.
func TestDamaged(t *testing.T) {
	t.Parallel()
	text := write(t, someInfo, someFiles...)
	for at := 0; at < len(text); at += 97 {
		if at >= len(text)-3*block {
			break // what fills the last block, and the end of a tar, say nothing
		}
		if _, _, _, err := read(t, bytes.NewReader(text[:at])); err == nil {
			t.Errorf("cut off after %d bytes it passes", at)
		}
	}
	row := bytes.Index(text, []byte("rowrow"))
	changed := bytes.Clone(text)
	changed[row+100] ^= 1
	if _, _, _, err := read(t, bytes.NewReader(changed)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("with another bit: %v", err)
	}
}

func TestLaterForm(t *testing.T) {
	t.Parallel()
	text := write(t, someInfo, someFiles...)
	later := bytes.Replace(text, []byte(`"format": 1`), []byte(`"format": 9`), 1)
	if _, _, _, err := read(t, bytes.NewReader(later)); !errors.Is(err, ErrLater) || !strings.Contains(err.Error(), `"1.2.3"`) {
		t.Errorf("of a later form: %v", err)
	}
}

// forged is a tar with any headers.
func forged(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	text, err := someInfo.encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range append([]tar.Header{{Typeflag: tar.TypeReg, Name: infoFile, Size: int64(len(text))}}, headers...) {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Name == infoFile && len(text) > 0 {
			_, err = w.Write(text)
			text = nil
		} else if h.Size < 1<<20 {
			_, err = w.Write(make([]byte, h.Size))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestForged(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]tar.Header{
		"path upwards":    {Typeflag: tar.TypeReg, Name: "../identity.key", Size: 3},
		"absolute path":   {Typeflag: tar.TypeReg, Name: "/tmp/identity.key", Size: 3},
		"other name":      {Typeflag: tar.TypeReg, Name: "format", Size: 3},
		"hidden name":     {Typeflag: tar.TypeReg, Name: "./identity.key", Size: 3},
		"symbolic link":   {Typeflag: tar.TypeSymlink, Name: Identity, Linkname: "/etc/passwd"},
		"hard link":       {Typeflag: tar.TypeLink, Name: Identity, Linkname: "/etc/passwd"},
		"directory":       {Typeflag: tar.TypeDir, Name: Rows},
		"device":          {Typeflag: tar.TypeChar, Name: Rows},
		"holes":           {Typeflag: tar.TypeReg, Name: Rows, Size: 3, PAXRecords: map[string]string{"VENDOR.x": "1"}},
		"too large":       {Typeflag: tar.TypeReg, Name: Rows, Size: MaxRows + 1},
		"large identity":  {Typeflag: tar.TypeReg, Name: Identity, Size: 1 << 20},
		"info again":      {Typeflag: tar.TypeReg, Name: infoFile, Size: 3},
		"no sums of that": {Typeflag: tar.TypeReg, Name: sumsFile, Size: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, _, err := read(t, bytes.NewReader(forged(t, h)))
			if err == nil {
				t.Error("it passes")
			}
			wantNothingElse(t, dir)
		})
	}
	twice := tar.Header{Typeflag: tar.TypeReg, Name: Identity, Size: 3}
	if _, _, _, err := read(t, bytes.NewReader(forged(t, twice, twice))); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a file that is there twice: %v", err)
	}
	if err := Write(io.Discard, someInfo, File{Rows, MaxRows + 1, nil}); err == nil {
		t.Error("a backup is written that cannot be read")
	}
}

// wantNothingElse checks that beside dir there is nothing, and in it only plain files with
// the names of a backup.
func wantNothingElse(t testing.TB, dir string) {
	t.Helper()
	beside, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside it there are %v, %v", beside, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if _, known := most[e.Name()]; !known || !e.Type().IsRegular() {
			t.Errorf("%s was made", e)
		}
	}
}

func FuzzRead(f *testing.F) {
	whole := write(f, someInfo, Content(Settings, []byte("A=b\n")), Content(Rows, []byte("rows")))
	f.Add(whole)
	f.Add(whole[:1500])
	f.Add(forged(f, tar.Header{Typeflag: tar.TypeReg, Name: "../x", Size: 3}))
	f.Add(forged(f, tar.Header{Typeflag: tar.TypeSymlink, Name: Rows, Linkname: "/etc/passwd"}))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir, _, names, err := read(t, bytes.NewReader(text))
		wantNothingElse(t, dir)
		var size int64
		for name := range most {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				size += info.Size()
			}
		}
		if size > int64(len(text)) {
			t.Errorf("%d bytes gave files of %d", len(text), size)
		}
		if err == nil && len(names) == 0 && size > 0 {
			t.Error("files without names")
		}
	})
}
