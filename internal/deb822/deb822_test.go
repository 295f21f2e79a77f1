package deb822

import (
	"io"
	"iter"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"millpond/internal/digest"
)

const (
	hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	zero = "0000000000000000000000000000000000000000000000000000000000000000"
)

func sum(t testing.TB, s string) digest.Digest {
	t.Helper()
	d, err := digest.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// collect returns the files before the error, and the error.
func collect(files iter.Seq2[File, error]) (all []File, err error) {
	for f, err := range files {
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	return all, nil
}

// readers are the streaming ones, for tests of what they have in common.
var readers = map[string]func(io.Reader) iter.Seq2[File, error]{
	"Packages": Packages, "Sources": Sources, "DiffIndex": DiffIndex, "Patch": Patch,
}

type readCase struct {
	name, in string
	want     []File
	err      string // a part of the error; empty for none
}

func testReader(t *testing.T, read func(io.Reader) iter.Seq2[File, error], cases []readCase) {
	t.Helper()
	t.Parallel()
	for _, tt := range cases {
		got, err := collect(read(strings.NewReader(tt.in)))
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", tt.name, got, tt.want)
		}
		switch {
		case err == nil && tt.err != "":
			t.Errorf("%s: no error, want one with %q", tt.name, tt.err)
		case err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestCleanPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"pool/main/h/hello/hello_2.10-3_amd64.deb": "pool/main/h/hello/hello_2.10-3_amd64.deb",
		"./hello.deb":               "hello.deb",
		".//./hello.deb":            "hello.deb",
		"a//b":                      "a/b",
		"a/./b":                     "a/b",
		"a..b/..c/d..":              "a..b/..c/d..",
		".hidden":                   ".hidden",
		"a b+c~d%2e.deb":            "a b+c~d%2e.deb",
		"pool/é.deb":                "pool/é.deb",
		"":                          "",
		".":                         "",
		"./":                        "",
		"..":                        "",
		"../a":                      "",
		"a/../b":                    "b",
		"a/b/../../c":               "c",
		"a/../../b":                 "",
		"a/..":                      "",
		"a/.":                       "",
		"./ a":                      "",
		"./../a":                    "",
		"/a":                        "a",
		"//a/./b":                   "a/b",
		"/../a":                     "",
		"/":                         "",
		"a/":                        "",
		"a\\b":                      "",
		"a\x00b":                    "",
		"a\x1bb":                    "",
		"a\x7fb":                    "",
		"a\xffb":                    "",
		strings.Repeat("a", 1024):   strings.Repeat("a", 1024),
		strings.Repeat("a", 1025):   "",
		"./" + "//etc/passwd":       "etc/passwd",
		"a/" + "./" + "../" + "b":   "b",
		"http://deb.example.org/a":  "http:/deb.example.org/a",
		"pool/a/.../b/..hidden.deb": "pool/a/.../b/..hidden.deb",
	} {
		if got := string(cleanPath([]byte(in))); got != want {
			t.Errorf("cleanPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for name, read := range readers {
		if name == "Patch" { // its lines mean something else
			continue
		}
		for in, want := range map[string]string{
			"<html>\n":                       "line 1",
			"<html>\nsign in\n":              "line 1",
			"\n\n\nno field\n":               "line 4",
			"\n folded\n":                    "line 2",
			"A b: c\n":                       "line 1",
			"-A: c\n":                        "line 1",
			": c\n":                          "line 1",
			strings.Repeat("long ", maxLine): "line 1",
		} {
			_, err := collect(read(strings.NewReader(in)))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %.20q: got error %v, want %s", name, in, err, want)
			}
		}
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	for name, read := range readers {
		in := io.MultiReader(strings.NewReader("1a\n"), errReader{io.ErrClosedPipe})
		if name != "Patch" {
			in = io.MultiReader(strings.NewReader("Package: a\n"), errReader{io.ErrClosedPipe})
		}
		n := 0
		for f, err := range read(in) {
			if n++; err == nil || !strings.Contains(err.Error(), "line 2: "+io.ErrClosedPipe.Error()) || f != (File{}) {
				t.Errorf("%s: got %+v, %v, want the read error in line 2", name, f, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: yielded %d times, want once, the error", name, n)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestBoundedMemory reads 1 MiB of one line or one stanza with little more than
// the buffer of one line.
func TestBoundedMemory(t *testing.T) {
	for name, in := range map[string]struct{ head, body, tail string }{
		"a long line that nobody needs": {"Depends: ", "libc6, ", "\nFilename: a\nSHA256: " + hexA + "\n"},
		"a long folded field":           {"Description: x\n", " words and more words\n", "Filename: a\nSHA256: " + hexA + "\n"},
		"a stanza of many fields":       {"", "Filename: a\n", "SHA256: " + hexA + "\n"},
		"many empty lines":              {"", "\n", "Filename: a\nSHA256: " + hexA + "\n"},
		"comments":                      {"", "# words and more words\n", "Filename: a\nSHA256: " + hexA + "\n"},
	} {
		body := &repeated{text: in.body, left: 1 << 20}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := collect(Packages(io.MultiReader(strings.NewReader(in.head), body, strings.NewReader(in.tail))))
		runtime.ReadMemStats(&after)
		if err != nil || len(got) != 1 || got[0].Path != "a" {
			t.Errorf("%s: got %+v, %v, want the file a", name, got, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s: allocated %d bytes, want at most 256 KiB", name, n)
		}
	}
}

// repeated reads as text over and over, whole copies only, up to left bytes.
type repeated struct {
	text string
	left int
	rest string
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.rest == "" {
			if r.left < len(r.text) {
				break
			}
			r.left -= len(r.text)
			r.rest = r.text
		}
		c := copy(p[n:], r.rest)
		r.rest = r.rest[c:]
		n += c
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestStop: a caller may leave the loop at any file.
func TestStop(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"Packages":  "Filename: a\nSHA256: " + hexA + "\n\nFilename: b\nSHA256: " + hexB + "\n",
		"Sources":   "Checksums-Sha256:\n " + hexA + " 1 a\n " + hexB + " 1 b\n",
		"DiffIndex": "SHA256-Download:\n " + hexA + " 1 a\n " + hexB + " 1 b\n",
		"Patch":     "1a\nFilename: a\nSHA256: " + hexA + "\n\nFilename: b\nSHA256: " + hexB + "\n.\n",
	} {
		n := 0
		for f, err := range readers[name](strings.NewReader(in)) {
			if n++; err != nil || f.Path != "a" {
				t.Errorf("%s: got %+v, %v, want the file a", name, f, err)
			}
			break
		}
		if n != 1 {
			t.Errorf("%s: yielded %d times, want once", name, n)
		}
	}
}
