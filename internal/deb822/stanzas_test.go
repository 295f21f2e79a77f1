package deb822

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestPackageStanzas(t *testing.T) {
	t.Parallel()
	const file = "Filename: pool/a.deb\nSize: 1\nSHA256: " + hexA + "\n"
	aFile := File{Path: "pool/a.deb", Size: 1, Digest: sum(t, hexA)}
	text := "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nSource: b (1:2)\nSection: admin\nPriority: optional\nEssential: yes\n" +
		"Depends: x (>= 1),\n y | z\nPre-Depends: libc6\nRecommends: r\nProvides: v (= 1)\nMulti-Arch: foreign\nDescription: d\n" + file +
		"\nPackage: no-version\n" + file + "\nPackage: no-file\nVersion: 1\n\nVersion: 1\n" + file +
		"\nPackage: long\nVersion: 1\nDepends: " + strings.Repeat("x", maxLongLine) + "\nProvides: p\n" + file +
		"\nPackage: folded\nVersion: 1\nDepends:\n" + strings.Repeat(" "+strings.Repeat("x", 999)+",\n", maxLongLine/1000+1) + file +
		"\nPackage: last\nVersion: 1\nDepends: a\nDepends: b\n" + file
	var got []Package
	for p, err := range PackageStanzas(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	want := []Package{
		{
			File: aFile, Name: "a", Version: "1:2-3", Architecture: "amd64", Source: "b (1:2)", Section: "admin", Priority: "optional", Essential: true,
			Depends: "x (>= 1), y | z", PreDepends: "libc6", Recommends: "r", Provides: "v (= 1)", MultiArch: "foreign",
		},
		{File: aFile, Name: "long", Version: "1", Provides: "p", Cut: true},
		{File: aFile, Name: "folded", Version: "1", Cut: true},
		{File: aFile, Name: "last", Version: "1", Depends: "b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestSourceStanzas(t *testing.T) {
	t.Parallel()
	text := "Package: a\nVersion: 1\nSection: admin\nPriority: optional\nDirectory: pool/a\nChecksums-Sha256:\n " + hexA + " 1 a.dsc\n " + hexB + " 2 a.tar.xz\n" +
		"\nPackage: none\nVersion: 1\nDirectory: pool/n\n\nPackage: b\nVersion: 2\nDirectory: .\nChecksums-Sha256: " + hexB + " 3 b.dsc\n"
	var got []SourcePackage
	for p, err := range SourceStanzas(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		p.Files = append([]File(nil), p.Files...)
		got = append(got, p)
	}
	want := []SourcePackage{
		{"a", "1", "admin", "optional", []File{{"pool/a/a.dsc", 1, sum(t, hexA)}, {"pool/a/a.tar.xz", 2, sum(t, hexB)}}},
		{"b", "2", "", "", []File{{"b.dsc", 3, sum(t, hexB)}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// The files are those that Packages has, and the texts are bounded and of one line.
func FuzzPackageStanzas(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nDepends: b,\n c\nFilename: ./a\nSHA256: " + hexA + "\n\nPackage: b\nVersion: 2\nFilename: b\nSHA256: " + hexB))
	f.Add([]byte("Package: a\nVersion:\n 1\n 2\nDepends:\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		known := make(map[File]bool)
		for file, err := range Packages(bytes.NewReader(in)) {
			known[file] = err == nil
		}
		for p, err := range PackageStanzas(bytes.NewReader(in)) {
			if err != nil {
				break
			}
			if !known[p.File] || p.Name == "" || p.Version == "" || len(p.Depends) > maxLongLine || strings.ContainsAny(p.Depends+p.Version, "\n") {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzSourceStanzas(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nDirectory: p\nChecksums-Sha256:\n " + hexA + " 1 a.dsc\n\nPackage: b\nVersion: 1\nChecksums-Sha256: " + hexB + " 1 b\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		known := make(map[string]bool)
		for file, err := range Sources(bytes.NewReader(in)) {
			known[fmt.Sprint(file)] = err == nil
		}
		for p, err := range SourceStanzas(bytes.NewReader(in)) {
			if err != nil {
				break
			}
			for _, file := range p.Files {
				if !known[fmt.Sprint(file)] {
					t.Errorf("%+v", file)
				}
			}
		}
	})
}
