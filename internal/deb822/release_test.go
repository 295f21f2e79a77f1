package deb822

import (
	"reflect"
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
		ByHash:     true,
		Files: []File{
			{Path: "contrib/Contents-all", Size: 1484322, Digest: sum(t, hexA)},
			{Path: "main/binary-amd64/Packages", Size: 0, Digest: sum(t, hexB)},
		},
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
	const date = "Date: Sat, 11 Jul 2026 10:16:37 UTC\n"
	for in, want := range map[string]string{
		"":                                 "this is something else",
		"Suite: stable\n":                  "this is something else",
		"<html>\n":                         "line 1",
		date + "no field\n":                "line 2",
		date + "\nSuite: evil\n":           "line 3: a second stanza",
		"Suite: stable\nDate: yesterday\n": "line 2: date \"yesterday\"",
		date + "Valid-Until: tomorrow\n":   "line 2: date \"tomorrow\"",
		date + "Suite: " + long:            "line 2: longer than",
	} {
		rel, err := ParseRelease(strings.NewReader(in))
		if rel != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %+v, %v, want an error with %q", in, rel, err, want)
		}
	}
}

var long = strings.Repeat("x", maxLine)

func TestReleaseFileLimit(t *testing.T) {
	t.Parallel()
	in := &repeated{text: " " + hexA + " 1 a\n", left: (maxReleaseFiles + 1) * (len(hexA) + 6)}
	_, err := ParseRelease(multi("SHA256:\n", in))
	if err == nil || !strings.Contains(err.Error(), "line 131074: more than 131072 files") {
		t.Errorf("got %v, want an error for the file beyond the limit", err)
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
		"Wed, 01 Jul 2026 10:16:37 CEST":  {},
		"Wed, 01 Jul 2026 10:16:37":       {},
		"2026-07-01T10:16:37Z":            {},
		"Wed, 32 Jul 2026 10:16:37 UTC":   {},
		"":                                {},
	} {
		got, err := parseTime(in)
		if (err != nil) != want.IsZero() || !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v, want %v", in, got, err, want)
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
