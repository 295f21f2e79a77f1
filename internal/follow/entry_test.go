package follow

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"millpond/internal/catalog"
)

// dir is the location of a directory.
func dir(t testing.TB, url string) catalog.Location {
	t.Helper()
	l, err := catalog.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParse(t *testing.T) {
	t.Parallel()
	debian := dir(t, "http://archive.example.org/debian")
	for in, want := range map[string][]Entry{
		"":          nil,
		" ;\n ; \n": nil,
		"http://archive.example.org/debian bookworm main amd64,source": {
			{Archive: debian, Suites: []string{"bookworm"}, Components: []string{"main"}, Architectures: []string{"amd64"}, Sources: true, Depth: Used},
		},
		"http://archive.example.org/debian/ bookworm,bookworm-updates main,contrib amd64,arm64 depth=all\n\thttp://archive.example.org/flat ./ source depth=indices;": {
			{Archive: debian, Suites: []string{"bookworm", "bookworm-updates"}, Components: []string{"main", "contrib"}, Architectures: []string{"amd64", "arm64"}, Depth: All},
			{Archive: dir(t, "http://archive.example.org/flat"), Suites: []string{"./"}, Sources: true, Depth: Indices},
		},
		"https://archive.example.org/debian bookworm/updates main amd64 section:admin priority:important package:g++ list:/etc/packages dated=https://dated.example.org/archive/": {{
			Archive: dir(t, "https://archive.example.org/debian"), Suites: []string{"bookworm/updates"}, Components: []string{"main"}, Architectures: []string{"amd64"}, Depth: Selected,
			Terms: []Term{{"section", "admin"}, {"priority", "important"}, {"package", "g++"}, {"list", "/etc/packages"}},
			Dated: dir(t, "https://dated.example.org/archive"),
		}},
		"http://archive.example.org/cuda ubuntu2404/x86_64/ amd64": {
			{Archive: dir(t, "http://archive.example.org/cuda"), Suites: []string{"ubuntu2404/x86_64/"}, Architectures: []string{"amd64"}, Depth: Used},
		},
	} {
		got, err := Parse(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v, %v\nwant %+v", in, got, err, want)
		}
		for _, e := range got {
			if again, err := Parse(e.String()); err != nil || !reflect.DeepEqual(again, []Entry{e}) {
				t.Errorf("%+v is printed as %q, which is %+v, %v", e, e, again, err)
			}
		}
	}
}

func TestDirs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://archive.example.org/debian stable,stable-updates main amd64": "[http://archive.example.org/debian/dists/stable http://archive.example.org/debian/dists/stable-updates]",
		"http://archive.example.org/flat ./ amd64":                           "[http://archive.example.org/flat]",
		"http://archive.example.org/ a/b/ amd64":                             "[http://archive.example.org/a/b]",
		"http://archive.example.org/ stable main amd64":                      "[http://archive.example.org/dists/stable]",
	} {
		all, err := Parse(in)
		if err != nil || fmt.Sprint(all[0].Dirs()) != want {
			t.Errorf("%q: %v, want %s (%v)", in, all, want, err)
		}
	}
}

// All faults are told, each with its entry and what to do.
func TestFaults(t *testing.T) {
	t.Parallel()
	const url = "http://archive.example.org/debian"
	for in, want := range map[string][]string{
		url: {"URL and suites are missing", `write "URL SUITES`},
		"ftp://archive.example.org stable main amd64":                                   {"scheme"},
		"http://user:word@archive.example.org/debian stable main amd64":                 {"user name"},
		url + "?x=y stable main amd64":                                                  {"query"},
		url + " stable main":                                                            {"3 of 4 fields"},
		url + " ./":                                                                     {"2 of 3 fields"},
		url + " ./ main amd64":                                                          {"a flat repository has no components"},
		url + " ./,stable main amd64":                                                   {"two entries"},
		url + " ../etc/ amd64":                                                          {"no plain name"},
		url + " stable,stable main amd64":                                               {"comes twice"},
		url + " stable main amd64,,arm64":                                               {"an empty architecture"},
		url + " stable main amd64/x":                                                    {"no architecture"},
		url + " stable m*n amd64":                                                       {"other characters"},
		url + " stable main amd64 everything":                                           {"is no option"},
		url + " stable main amd64 depth=deep":                                           {"indices, used or all"},
		url + " stable main amd64 depth=selected":                                       {"indices, used or all"},
		url + " stable main amd64 depth=all depth=used":                                 {"comes twice"},
		url + " stable main amd64 depth=all section:admin":                              {"leave one of them out"},
		url + " stable main amd64 size:10":                                              {"select packages"},
		url + " stable main amd64 list:packages":                                        {"absolute path"},
		url + " stable main amd64 package:":                                             {"selects nothing"},
		url + " stable main amd64 dated=archive":                                        {"no archive's URL"},
		url + " stable main amd64 hours=8":                                              {"no option"},
		url + " a main amd64 dated=http://a/x;" + url + " b main amd64 dated=http://b/": {"dated=http://b/", "dated=http://a/x", "name one"},
		url + " stable main x/y depth=deep;" + url + " stable m*n amd64":                {"no architecture", "depth=deep", "other characters"},
	} {
		_, err := Parse(in)
		if err == nil {
			t.Errorf("%q is taken", in)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v; want %q", in, err, part)
			}
		}
	}
	many := make([]string, maxFollowed+1)
	for i := range many {
		many[i] = fmt.Sprintf("s%d", i)
	}
	if _, err := Parse(url + " " + strings.Join(many, ",") + " main amd64"); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many suites: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range []string{
		"http://archive.example.org/debian bookworm main amd64,source depth=all", "http://archive.example.org/flat ./ amd64; https://a.example/x%3By s/ source list:/a:b=c dated=http://b/",
		"http://a/b c d e section:x=y\n\n;", "a:b c=d",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		entries, err := Parse(in)
		if err != nil {
			if entries != nil || err.Error() == "" {
				t.Fatal("entries beside an error, or an error that says nothing")
			}
			return
		}
		for _, e := range entries {
			again, err := Parse(e.String())
			if err != nil || !reflect.DeepEqual(again, []Entry{e}) {
				t.Fatalf("%q is %+v, printed as %q, which is %+v, %v", in, e, e, again, err)
			}
			for _, d := range e.Dirs() {
				if d.Host != e.Archive.Host || d.Tail != "" || !strings.HasPrefix(d.Path, strings.TrimSuffix(e.Archive.Path, "/")) {
					t.Fatalf("%q leads to %s", in, d)
				}
			}
		}
	})
}
