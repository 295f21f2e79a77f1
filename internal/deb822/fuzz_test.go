package deb822

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"path"
	"reflect"
	"strings"
	"testing"

	"millpond/internal/digest"
)

// checkFiles holds what is promised of every file, and bounds their number by
// the input: each needs a digest of its own.
func checkFiles(t *testing.T, in []byte, files []File) {
	t.Helper()
	if len(files) > len(in)/64 {
		t.Errorf("%d files of %d bytes", len(files), len(in))
	}
	for _, f := range files {
		if f.Path == "" || len(f.Path) > maxPath || path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path ||
			f.Path == ".." || strings.HasPrefix(f.Path, "../") || strings.ContainsAny(f.Path, "\\\x00\n\r\t\x7f\x1b") {
			t.Errorf("path %q", f.Path)
		}
		if f.Size < -1 || f.Digest.IsZero() {
			t.Errorf("file %+v", f)
		}
	}
}

// fuzzFiles checks the files of any input, then writes them as an index and
// reads that back: the same files have to come out.
func fuzzFiles(f *testing.F, read func(io.Reader) iter.Seq2[File, error], write func(io.Writer, File)) {
	f.Fuzz(func(t *testing.T, in []byte) {
		files, _ := collect(read(bytes.NewReader(in)))
		checkFiles(t, in, files)
		var out bytes.Buffer
		for _, file := range files {
			write(&out, file)
		}
		again, err := collect(read(&out))
		if err != nil || !reflect.DeepEqual(again, files) {
			t.Errorf("read\n%+v\nread back\n%+v, %v", files, again, err)
		}
	})
}

func writeStanza(w io.Writer, f File) {
	fmt.Fprintf(w, "Filename: %s\nSHA256: %s\n", f.Path, f.Digest)
	if f.Size >= 0 {
		fmt.Fprintf(w, "Size: %d\n", f.Size)
	}
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1:2-3\nArchitecture: all\nFilename: ./a//b.deb\nSize: 1\nSHA256: " + hexA + "\n\nFilename: c\nSHA256: " + hexB))
	f.Add([]byte("\r\n# c\r\nFILENAME:x\r\nsha256:\t" + hexA + "\r\nDescription: d\r\n .\r\n e\r\n\r\n\r\n"))
	f.Add([]byte("Filename: ../a\nSHA256: " + hexA + "\n\nFilename: a\\b\nSHA256: " + zero + "\n"))
	f.Add([]byte(" folded\n"))
	f.Add([]byte("Filename: a\nSHA256: " + hexA + "\nno field"))
	fuzzFiles(f, Packages, func(w io.Writer, file File) {
		writeStanza(w, file)
		fmt.Fprintln(w)
	})
}

func FuzzSources(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nChecksums-Sha256:\n " + hexA + " 1 a.dsc\n " + hexB + " 2 a.tar.xz\nDirectory: pool/a\n"))
	f.Add([]byte("Directory: .\nChecksums-Sha256: " + hexA + " 1 a.dsc\n\nDirectory: /\nChecksums-Sha256:\n " + hexA + " 1 a.dsc\n"))
	f.Add([]byte("Directory: a b/../c\nChecksums-Sha256:\n " + hexA + " 1 ../a.dsc\n x y z\n"))
	f.Add([]byte("Directory: a b\nChecksums-Sha256: " + hexA + " 1 .\n"))
	fuzzFiles(f, Sources, func(w io.Writer, file File) {
		dir, name := path.Split(file.Path)
		if strings.ContainsAny(name, " \t") { // only a directory may have blanks
			panic("a blank in the name of a listed file")
		}
		fmt.Fprintf(w, "Directory: %s\nChecksums-Sha256:\n %s %d %s\n\n", dir, file.Digest, file.Size, name)
	})
}

func FuzzDiffIndex(f *testing.F) {
	f.Add([]byte("SHA256-Current: " + hexA + " 1\nSHA256-History:\n " + hexA + " 1 2026\nSHA256-Download:\n " + hexB + " 2 2026.gz\n"))
	f.Add([]byte("X-Unmerged-SHA256-Download: " + hexA + " 0 ./a/b.gz\n\t" + hexB + "\t1\tc.gz\n"))
	f.Add([]byte("SHA256-Download:\n x\n " + hexA + " -1 a\n " + hexA + " 1 ..\n"))
	fuzzFiles(f, DiffIndex, func(w io.Writer, file File) {
		fmt.Fprintf(w, "SHA256-Download:\n %s %d %s\n", file.Digest, file.Size, file.Path)
	})
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte("10a\n\nPackage: a\nFilename: a.deb\nSize: 1\nSHA256: " + hexA + "\n\nFilename: b.deb\nSHA256: " + hexB + "\n.\n5,6d\n"))
	f.Add([]byte("3c\n folded\nFilename: a.deb\n.\n2c\nSHA256: " + hexA + "\n.\n"))
	f.Add([]byte("s/.//\r\n1,2c\r\nFilename: ./a.deb\r\nSHA256: " + hexA + "\r\n.\r\n"))
	f.Add([]byte("1a\nFilename: a"))
	f.Add([]byte("1a\nFilename: ./ a\nSHA256: " + hexA + "\n.\n"))
	fuzzFiles(f, Patch, func(w io.Writer, file File) {
		fmt.Fprintln(w, "1a")
		writeStanza(w, file)
		fmt.Fprintln(w, ".")
	})
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Suite: stable\nDate: Sat, 1 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\nComponents: main\n contrib\nSHA256:\n " + hexA + " 1 main/binary-amd64/Packages\n"))
	f.Add([]byte("MD5Sum:\n 00 1 a\nSHA1: x\n"))
	f.Add([]byte("Acquire-By-Hash: yes\nMD5Sum:\n 0123456789ABCDEF0123456789abcdef 1 ./a//b\nSHA512:\n " + hexA + hexB + " 1 c\n"))
	f.Add([]byte("Date: Sat, 11 Jul 2026 10:16:37 +0200\nValid-Until: Sat, 18 Jul 2026 10:16:37 GMT\n\n\n"))
	f.Add([]byte("Date: Sat, 11 Jul 2026 10:16:37 UTC\n\nSuite: evil\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		rel, err := ParseRelease(bytes.NewReader(in))
		if err != nil {
			if rel != nil {
				t.Errorf("a release with error %v", err)
			}
			return
		}
		checkFiles(t, in, rel.Files)
		if rel.Weak && len(rel.Files) > 0 {
			t.Error("weak, and lists files by SHA-256")
		}
		for _, h := range rel.Hashes {
			checkFiles(t, make([]byte, 64), []File{{Path: h.Path, Digest: digest.Of(nil)}})
			if !rel.ByHash || len(h.Sum) < 32 || strings.Trim(h.Sum, "0123456789abcdef") != "" {
				t.Errorf("hash %+v", h)
			}
		}
		out := "MD5Sum:\n x\nSHA256:\n"
		if !rel.Date.IsZero() {
			out = "Date: " + rel.Date.Format("Mon, 2 Jan 2006 15:04:05 MST") + "\n" + out
		}
		for _, file := range rel.Files {
			out += fmt.Sprintf(" %s %d %s\n", file.Digest, file.Size, file.Path)
		}
		again, err := ParseRelease(strings.NewReader(out))
		if err != nil || !reflect.DeepEqual(again.Files, rel.Files) || !again.Date.Equal(rel.Date) {
			t.Errorf("read\n%+v\nread back\n%+v, %v", rel, again, err)
		}
	})
}
