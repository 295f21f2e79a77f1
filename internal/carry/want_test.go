package carry

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

func at(t testing.TB, s string) catalog.Location {
	t.Helper()
	l, err := catalog.ParseURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWantList(t *testing.T) {
	want := &WantList{
		Suites: []WantedSuite{
			{Dir: at(t, "http://archive.example.org/debian/dists/stable"), Release: digest.Of([]byte("r")), Indices: []string{"main/binary-amd64/Packages.xz", "a b/50%"}},
			{Dir: at(t, "https://archive.example.org:8443/flat")},
			{Dir: at(t, "http://archive.example.org/"), Indices: []string{"Packages.gz"}},
		},
		Files: []WantedFile{{digest.Of([]byte("f")), 42, at(t, "http://archive.example.org/debian/pool/main/g/g++/g++_1%2b1.deb")}},
	}
	var text bytes.Buffer
	if err := want.Write(&text, time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadWantList(&text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWantListRefused(t *testing.T) {
	const head = wantVersion + "\n"
	for name, text := range map[string]string{
		"empty":                  "",
		"another version":        "millpond want-list 2\nend 0\n",
		"no end":                 head + "suite http://archive.example.org/d -\n",
		"wrong end":              head + "suite http://archive.example.org/d -\nend 2\n",
		"lines after the end":    head + "end 0\nsuite http://archive.example.org/d -\n",
		"unknown word":           head + "erase all\nend 1\n",
		"index without a suite":  head + "index main/Packages\nend 1\n",
		"index out of its suite": head + "suite http://archive.example.org/d -\nindex ../e/Packages\nend 2\n",
		"negative size":          head + "file " + digest.Of(nil).String() + " -1 http://archive.example.org/d\nend 1\n",
		"no digest":              head + "file abc 1 http://archive.example.org/d\nend 1\n",
		"another scheme":         head + "file " + digest.Of(nil).String() + " 1 file:///etc/passwd\nend 1\n",
		"a query":                head + "file " + digest.Of(nil).String() + " 1 http://archive.example.org/d?e\nend 1\n",
		"a long line":            head + "suite http://archive.example.org/" + strings.Repeat("d", maxWantLine) + " -\nend 1\n",
	} {
		if got, err := ReadWantList(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzReadWantList(f *testing.F) {
	f.Add(wantVersion + "\nsuite http://archive.example.org/d -\nindex main/Packages\nend 2\n")
	f.Add(wantVersion + "\n# comment\n\nfile " + digest.Of(nil).String() + " 1 http://archive.example.org/d/p.deb\nend 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := ReadWantList(strings.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := first.Write(&out, time.Now()); err != nil {
			t.Fatal(err)
		}
		again, err := ReadWantList(&out)
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("%q became %+v, %v; it was %+v", text, again, err, first)
		}
	})
}

func TestPlaces(t *testing.T) {
	base, err := ParseBase("https://archive.example.org/debian/")
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := (places{as: base, hasAs: true}).of("dists/stable/InRelease"); !ok || l.String() != "https://archive.example.org/debian/dists/stable/InRelease" {
		t.Errorf("with --as: %v, %v", l, ok)
	}
	for rel, want := range map[string]string{
		"archive.example.org/debian/pool/a.deb":         "http://archive.example.org/debian/pool/a.deb",
		"mirror/archive.example.org/debian/pool/a.deb":  "http://archive.example.org/debian/pool/a.deb",
		"https/archive.example.org/debian/pool/a.deb":   "https://archive.example.org/debian/pool/a.deb",
		"archive.example.org+8080/pool/a.deb":           "http://archive.example.org:8080/pool/a.deb",
		"localhost%3a8080/pool/a.deb":                   "http://localhost:8080/pool/a.deb",
		"10.1.2.3/d/g++_1.deb":                          "http://10.1.2.3/d/g++_1.deb",
		"pool/archive.example.org/a.deb":                "",
		"debian/dists/stable/InRelease":                 "",
		"debian/12.5/pool/a.deb":                        "",
		"archive.example.org":                           "",
		"archive.example.org:port/debian/pool/main/a.x": "",
	} {
		l, ok := places{}.of(rel)
		if got := l.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s is at %s, %v; want %q", rel, got, ok, want)
		}
	}
	for _, bad := range []string{"", "archive.example.org", "file:///srv", "http://archive.example.org/d?q"} {
		if l, err := ParseBase(bad); err == nil {
			t.Errorf("ParseBase(%q): %v", bad, l)
		}
	}
}

// What is exported is found again at the same URL.
func FuzzPlaceOf(f *testing.F) {
	f.Add("http://archive.example.org/debian/pool/a.deb")
	f.Add("https://archive.example.org:8443/a%25b/dists/x")
	f.Add("http://[2001:db8::1]:80/a")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := catalog.ParseURL(s)
		if err != nil || l.Tail != "" || l.Path == "/" || !strings.Contains(l.Host, ".") {
			return
		}
		if got, ok := (places{}).of(placeOf(l)); ok && got != l {
			t.Errorf("%v was exported as %s, and is imported as %v", l, placeOf(l), got)
		}
	})
}
