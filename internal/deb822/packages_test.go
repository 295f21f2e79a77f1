package deb822

import (
	"fmt"
	"strings"
	"testing"
)

func TestPackages(t *testing.T) {
	hello := File{Path: "pool/main/h/hello/hello_2.10-3_amd64.deb", Size: 53080, Digest: sum(t, hexA)}
	const stanza = "Package: hello\nVersion: 2.10-3\nArchitecture: amd64\nDepends: libc6 (>= 2.34)\n" +
		"Description: example\n folded: text\n .\n more\nFilename: pool/main/h/hello/hello_2.10-3_amd64.deb\n" +
		"Size: 53080\nMD5sum: 00\nSHA256: " + hexA + "\n"
	bare := func(path string) File { return File{Path: path, Size: -1, Digest: sum(t, hexB)} }
	fields := func(s ...string) string { return strings.Join(s, "\n") + "\n" }
	testReader(t, Packages, []readCase{
		{"empty", "", nil, ""},
		{"only empty lines", "\n\n \n\t\n", nil, ""},
		{"one stanza", stanza, []File{hello}, ""},
		{"no final newline", strings.TrimSuffix(stanza, "\n"), []File{hello}, ""},
		{"two, several empty lines", "\n" + stanza + "\n\n\n" + stanza + "\n\n", []File{hello, hello}, ""},
		{"blanks do not end a stanza", "Filename: a\n \t\n" + stanza, []File{hello}, ""},
		{"CRLF", strings.ReplaceAll(stanza+"\n"+stanza, "\n", "\r\n"), []File{hello, hello}, ""},
		{"case of names", strings.NewReplacer("Package", "PACKAGE", "SHA256", "sha256", "Filename", "fileNAME").Replace(stanza), []File{hello}, ""},
		{"no blanks", strings.ReplaceAll(stanza, ": ", ":"), []File{hello}, ""},
		{"blanks around values", strings.NewReplacer(": ", ": \t ", "\n", " \t\n").Replace(stanza), []File{hello}, ""},
		{"comments", "# one\n" + strings.ReplaceAll(stanza, "\n", "\n#: two\n"), []File{hello}, ""},
		{"upper-case digits", fields("Filename: a", "SHA256: "+strings.ToUpper(hexB)), []File{bare("a")}, ""},
		{"no fields but two", fields("SHA256: "+hexB, "Filename: ./a"), []File{bare("a")}, ""},
		{"fields do not leak into the next stanza", stanza + "\nFilename: a\n\nSHA256: " + hexB + "\n\nFilename: b\nSHA256: " + hexB + "\n", []File{hello, bare("b")}, ""},
		{"no SHA256", fields("Filename: a", "MD5sum: 00", "SHA1: 00"), nil, ""},
		{"no Filename", fields("Package: a", "SHA256: "+hexA), nil, ""},
		{"the last of two fields", fields("Filename: a", "Filename: b", "SHA256: "+hexB), []File{bare("b")}, ""},
		{"a name that is only part of one", fields("XFilename: a", "Filename-X: b", "SHA256: "+hexB), nil, ""},

		// The bad stanza is left out, the rest of the index is read.
		{"short digest", "Filename: a\nSHA256: " + hexA[1:] + "\n\n" + stanza, []File{hello}, ""},
		{"digest of other digits", "Filename: a\nSHA256: g" + hexA[1:] + "\n\n" + stanza, []File{hello}, ""},
		{"digest of zeros", "Filename: a\nSHA256: " + zero + "\n\n" + stanza, []File{hello}, ""},
		{"negative size", "Filename: a\nSize: -1\nSHA256: " + hexA + "\n\n" + stanza, []File{hello}, ""},
		{"size beyond 63 bits", "Filename: a\nSize: 9223372036854775808\nSHA256: " + hexA + "\n\n" + stanza, []File{hello}, ""},
		{"path that climbs", "Filename: pool/../../etc/passwd\nSHA256: " + hexA + "\n\n" + stanza, []File{hello}, ""},
		{"folded path", "Filename:\n pool/a\nSHA256: " + hexB + "\n\n" + stanza, []File{bare("pool/a"), hello}, ""},
		{"path of two lines", "Filename: pool/a\n b\nSHA256: " + hexB + "\n\n" + stanza, []File{hello}, ""},
		{"lines that are no fields", "Package hello\n" + stanza + "A b: c\n folded\n: d\n-e: f\n\n folded\n" + stanza, []File{hello, hello}, ""},
		{"blanks after a name", strings.ReplaceAll(stanza, ":", "\t :"), []File{hello}, ""},
		{"absolute path", fields("Filename: /pool//a", "SHA256: "+hexB), []File{bare("pool/a")}, ""},
		{"values that are not printable, in fields that are not kept", fields("Package: a\x1bb", "Version: a b", "Architecture: "+strings.Repeat("x", 257), "Filename: a", "SHA256: "+hexB), []File{bare("a")}, ""},

		{"long lines that are not kept", "Depends: " + strings.Repeat("x", 3*maxLine) + "\n" + strings.Repeat(" ", 2*maxLine) + "\n" + stanza, []File{hello}, ""},
		{"long comment", "#" + strings.Repeat("x", 3*maxLine) + "\n" + stanza, []File{hello}, ""},
		{"longest line that is kept", "Filename: " + strings.Repeat("x", maxLine-11) + "\n" + stanza, []File{hello}, ""},
		{"longer than that", stanza + "\nFilename: " + strings.Repeat("x", maxLine-10) + "\n" + stanza + "\n" + stanza, []File{hello, hello}, ""},
		{"no index", "<html>\nsign in\n", nil, "line 1"},
	})
}

func TestSources(t *testing.T) {
	file := func(path, hex string, size int64) File {
		return File{Path: path, Size: size, Digest: sum(t, hex)}
	}
	const lists = "Files:\n 00 1 hello.dsc\nChecksums-Sha1:\n 00 1 hello.dsc\n" +
		"Checksums-Sha256:\n " + hexA + " 1707 hello.dsc\n " + hexB + "  725946\thello.tar.gz\n"
	const names = "Package: hello\nBinary: hello, hello-dbg\nArchitecture: any\nVersion: 2.10-3\n"
	two := []File{file("pool/h/hello.dsc", hexA, 1707), file("pool/h/hello.tar.gz", hexB, 725946)}
	rooted := []File{file("hello.dsc", hexA, 1707), file("hello.tar.gz", hexB, 725946)}
	testReader(t, Sources, []readCase{
		{"empty", "", nil, ""},
		{"directory last", names + lists + "Directory: pool/h\n", two, ""},
		{"directory first", "Directory: pool/h/\n" + names + lists, two, ""},
		{"CRLF", strings.ReplaceAll(names+lists+"Directory: pool/h\n", "\n", "\r\n"), two, ""},
		{"flat archive", names + "Directory: .\n" + lists, rooted, ""},
		{"empty directory", names + "Directory:\n" + lists, rooted, ""},
		{"no directory", names + lists, rooted, ""},
		{"two stanzas", names + "Directory: pool/h\n" + lists + "\n" + names + lists, append(append([]File{}, two...), rooted...), ""},
		{"absolute directory", names + "Directory: /pool/h/\n" + lists, two, ""},
		{"the root as directory", names + "Directory: /\n" + lists, rooted, ""},
		{"directory on the next line", names + "Directory:\n pool/h\n" + lists, two, ""},
		{"directory that climbs", names + "Directory: ../x\n" + lists, nil, ""},
		{"no SHA-256", names + "Files:\n " + hexA + " 1 hello.dsc\n", nil, ""},
		{"bad entries", names + "Checksums-Sha256:\n x 1 a\n " + hexA + " y a\n " + hexA + " 1\n " + hexA + " 1 a b\n " + hexA + " 1 ../a\n " + hexB + " 2 b\n",
			[]File{file("b", hexB, 2)}, ""},
	})
}

// Of a source package that lists without end, the first files are kept.
func TestSourcesBound(t *testing.T) {
	t.Parallel()
	got, err := collect(Sources(strings.NewReader("Checksums-Sha256:\n" + strings.Repeat(" "+hexA+" 1 a\n", maxStanzaFiles+1))))
	if err != nil || len(got) != maxStanzaFiles {
		t.Errorf("%d files, %v, want %d", len(got), err, maxStanzaFiles)
	}
}

// BenchmarkPackages reads an index of as many stanzas as Debian's, with the
// fields of an ordinary package.
func BenchmarkPackages(b *testing.B) {
	const stanzas = 63440
	var in strings.Builder
	for i := range stanzas {
		fmt.Fprintf(&in, `Package: example-%[1]d
Source: example
Version: 1.%[1]d-1
Installed-Size: 1234
Maintainer: Example Maintainers <maintainers@deb.example.org>
Architecture: amd64
Depends: libc6 (>= 2.34), libexample-common (= 1.%[1]d-1), libgcc-s1 (>= 3.0), libstdc++6 (>= 11), zlib1g (>= 1:1.1.4)
Description: package to be read
Homepage: https://deb.example.org/example
Description-md5: 00000000000000000000000000000000
Tag: implemented-in::c++, interface::commandline, role::program, scope::utility, use::converting,
 works-with::file, works-with-format::xml
Section: utils
Priority: optional
Filename: pool/main/e/example/example-%[1]d_1.%[1]d-1_amd64.deb
Size: 12345
MD5sum: 00000000000000000000000000000000
SHA256: %[2]s

`, i, hexA)
	}
	b.SetBytes(int64(in.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range Packages(strings.NewReader(in.String())) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != stanzas {
			b.Fatalf("%d files, want %d", n, stanzas)
		}
	}
}
