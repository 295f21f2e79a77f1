package deb822

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRelease(t *testing.T) {
	t.Parallel()
	const text = `Origin: Example
Label: Example Archive
Suite: oldstable
Version: 12.15
Codename: bookworm
Changelogs: https://deb.example.org/@CHANGEPATH@_changelog
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
Architectures: all amd64
 arm64
Components: main contrib
Description: Example 12.15
MD5Sum:
 00000000000000000000000000000000  1 main/binary-amd64/Packages
SHA256:
 ` + hexA + `  1484322 contrib/Contents-all
 ` + hexB + ` 0 ./main/binary-amd64/Packages
 ` + hexB + ` 0 ../../etc/passwd
 bad 0 x
`
	want := &Release{
		Origin: "Example", Label: "Example Archive", Suite: "oldstable", Codename: "bookworm",
		Date:       time.Date(2026, 7, 11, 10, 16, 37, 0, time.UTC),
		ValidUntil: time.Date(2026, 7, 18, 10, 16, 37, 0, time.UTC),
		ByHash:     true, BinaryAll: true,
		Files: []File{
			{Path: "contrib/Contents-all", Size: 1484322, Digest: sum(t, hexA)},
			{Path: "main/binary-amd64/Packages", Size: 0, Digest: sum(t, hexB)},
		},
		Hashes: []Hash{{"main/binary-amd64/Packages", "MD5Sum", "00000000000000000000000000000000"}},
	}
	for name, in := range map[string]string{
		"plain":            text,
		"no final newline": strings.TrimSuffix(text, "\n"),
		"CRLF":             strings.ReplaceAll(text, "\n", "\r\n"),
		"empty lines":      "\n\n" + text + "\n\n",
		"lower case":       strings.NewReplacer("SHA256", "sha256", "Suite", "suite").Replace(text),
		"comments":         strings.ReplaceAll(text, "\n", "\n# comment\n"),
	} {
		got, err := ParseRelease(strings.NewReader(in))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, %v\nwant\n%+v", name, got, err, want)
		}
	}
}

func TestReleaseWeak(t *testing.T) {
	t.Parallel()
	const entry = " 1 main/binary-amd64/Packages\n"
	for name, tt := range map[string]struct {
		in   string
		weak bool
	}{
		"SHA-256":               {"MD5Sum:\n 00" + entry + "SHA256:\n " + hexA + entry, false},
		"MD5":                   {"MD5Sum:\n 00" + entry, true},
		"SHA-1":                 {"SHA1:\n 00" + entry, true},
		"SHA-512":               {"SHA512:\n 00" + entry, true},
		"SHA-256 not usable":    {"SHA256:\n 00" + entry, true},
		"nothing listed":        {"Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n", false},
		"empty list beside one": {"SHA256:\nMD5Sum:\n 00" + entry, true},
	} {
		rel, err := ParseRelease(strings.NewReader(tt.in))
		if err != nil || rel.Weak != tt.weak {
			t.Errorf("%s: got %+v, %v, want weak = %v", name, rel, err, tt.weak)
		}
	}
}

func TestReleaseErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                              "this is something else",
		"X-Build: 1\n":                  "this is something else",
		"Please log in at http://login": "line 1",
		"no field\n":                    "line 1",
		" \n<html>\nDate: today\n":      "this is HTML",
	} {
		rel, err := ParseRelease(strings.NewReader(in))
		if rel != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %+v, %v, want an error with %q", in, rel, err, want)
		}
	}
}

var long = strings.Repeat("x", maxLine)

// What apt ignores is ignored. TestReleasesThatAptAccepts of package catalog
// asks apt itself.
func TestReleaseIgnores(t *testing.T) {
	t.Parallel()
	const text = "Suite: stable\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + hexA + " 1 a\n"
	want, err := ParseRelease(strings.NewReader(text))
	if err != nil || len(want.Files) != 1 {
		t.Fatal(want, err)
	}
	for name, in := range map[string]string{
		"a line that is no field":    "no field\n" + text + "no field\n",
		"a folded line at first":     " folded\n" + text,
		"another stanza":             text + "\nSuite: evil\nSHA256:\n " + hexB + " 1 b\n",
		"a name with a blank":        "My Suite: evil\n" + text,
		"a blank after the name":     strings.Replace(text, ":", " :", 1),
		"blanks in an empty line":    strings.Replace(text, "\n", "\n \t\n", 1),
		"a value on the next line":   strings.Replace(text, "Date: ", "Date:\n ", 1),
		"more lines of a value":      strings.Replace(text, "stable\n", "stable\n more\n", 1),
		"no Valid-Until":             "Valid-Until:\n" + text,
		"Valid-Until that is none":   "Valid-Until: tomorrow\n" + text,
		"a value over all bounds":    "Label: " + long + "\n" + text,
		"an entry over all bounds":   text + " " + hexB + " 1 " + long + "\n",
		"an absolute path":           strings.Replace(text, " a\n", " /a\n", 1),
		"an earlier list":            "SHA256:\n " + hexB + " 1 a\n" + text,
		"hashes without by-hash":     "SHA1:\n 0123456789012345678901234567890123456789 1 a\n" + text,
		"an earlier value of fields": "Suite: other\n" + text,
	} {
		got, err := ParseRelease(strings.NewReader(in))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, %v\nwant\n%+v", name, got, err, want)
		}
	}
}

// Signed-By is read as apt reads it: by lines, blanks and commas, and not at all
// unless each part is a whole fingerprint.
func TestReleaseSignedBy(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("A1", 20), strings.Repeat("b2", 20)
	for in, want := range map[string][]string{
		"Signed-By: " + a + "\n":                                {a},
		"Signed-By: " + b + "\n":                                {strings.ToUpper(b)},
		"Signed-By: " + a + "!\n":                               {a + "!"},
		"Signed-By: " + a + " " + a + ",\n " + b + "\n":         {a, a, strings.ToUpper(b)},
		"Signed-By:\n " + a + "\n ,\n":                          {a},
		"Signed-By: " + b + "\nSigned-By: " + a + "\n":          {a}, // the last field counts
		"Signed-By: " + a + ", 0123456789ABCDEF\n":              nil,
		"Signed-By: " + a + a[:24] + "\n":                       nil, // of version 6
		"Signed-By: /usr/share/keyrings/a.gpg\n":                nil,
		"Signed-By: \n":                                         nil,
		"Signed-By: " + strings.Repeat(a+" ", 200) + "\n":       nil,
		"Signed-By: " + a + "\n" + strings.Repeat(" x\n", 5000): nil,
	} {
		rel, err := ParseRelease(strings.NewReader("Suite: stable\n" + in))
		if err != nil || !slices.Equal(rel.SignedBy, want) {
			t.Errorf("%.200q: got %+v, %v, want %v", in, rel, err, want)
		}
	}
}

func TestReleaseHashes(t *testing.T) {
	t.Parallel()
	md5, sha1, sha512 := hexA[:32], hexA[:40], hexA+hexB
	in := "MD5Sum:\n " + md5 + " 1 main/a\n 00 1 b\nSHA1:\n " + strings.ToUpper(sha1) + " 1 ./main/a\n" + strings.Repeat("g", 40) + " 1 c\n" +
		"SHA512:\n " + sha512 + " 1 main/a\n " + sha512 + " 1 ../d\n " + sha512 + " 1\nAcquire-By-Hash: yes\n"
	rel, err := ParseRelease(strings.NewReader(in))
	want := []Hash{{"main/a", "MD5Sum", md5}, {"main/a", "SHA1", sha1}, {"main/a", "SHA512", sha512}}
	if err != nil || !reflect.DeepEqual(rel.Hashes, want) || !rel.Weak || !rel.SHA512 {
		t.Errorf("got %+v, %v, want %+v", rel, err, want)
	}
}

func TestReleaseFileLimit(t *testing.T) {
	t.Parallel()
	list := func(name, sum string) string {
		return name + ":\n" + strings.Repeat(" "+sum+" 1 a\n", maxReleaseFiles+1)
	}
	rel, err := ParseRelease(strings.NewReader("Acquire-By-Hash: yes\n" + list("SHA256", hexA)))
	if err != nil || len(rel.Files) != maxReleaseFiles {
		t.Errorf("got %v, want the first %d files", err, maxReleaseFiles)
	}
	rel, err = ParseRelease(strings.NewReader("Acquire-By-Hash: yes\n" + strings.Repeat(list("MD5Sum", hexA[:32]), 4)))
	if err != nil || len(rel.Hashes) != 3*maxReleaseFiles {
		t.Errorf("got %v, want the first %d hashes", err, 3*maxReleaseFiles)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 10, 16, 37, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"Wed, 01 Jul 2026 10:16:37 UTC":   at,
		"Wed, 1 Jul 2026 10:16:37 UTC":    at,
		"Wed,  1 Jul 2026 10:16:37 UTC":   at,
		"Wed, 1 Jul 2026 10:16:37 GMT":    at,
		"Wed, 1 Jul 2026 10:16:37 Z":      at,
		"Wed, 01 Jul 2026 10:16:37 +0000": at,
		"Wed, 01 Jul 2026 12:16:37 +0200": at,
		"Wed, 01 Jul 2026 10:16:37 -0000": at,
		"Wednesday, 01-Jul-26 10:16:37 Z": at,
		"Wed Jul  1 10:16:37 2026":        at,
		"Thu,\t1 Jul 2026  10:16:37 UTC ": at,
		"Wed, 01 Jul 2026 10:16:37 CEST":  {},
		"Wed, 01 Jul 2026 10:16:37":       {},
		"2026-07-01T10:16:37Z":            {},
		"Wed, 32 Jul 2026 10:16:37 UTC":   {},
		"":                                {},
	} {
		if got := parseTime(in); !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestByHash(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"yes": true, "Yes": true, "true": true, "1": true, "no": false, "": false, "yesterday": false} {
		rel, err := ParseRelease(strings.NewReader("Date: Sat, 11 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: " + in + "\n"))
		if err != nil || rel.ByHash != want {
			t.Errorf("%q: got %+v, %v, want %v", in, rel, err, want)
		}
	}
}

// apt reads the indices in binary-all if Architectures has all, or is not there, and the
// Release does not say that it need not.
func TestBinaryAll(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Suite: a\n":                 true,
		"Architectures: all amd64\n": true,
		"Architectures: amd64\n":     false,
		"Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n": false,
	} {
		rel, err := ParseRelease(strings.NewReader(text))
		if err != nil || rel.BinaryAll != want {
			t.Errorf("%q: %+v, %v; want %v", text, rel, err, want)
		}
	}
}
