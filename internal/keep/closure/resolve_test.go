package closure

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millpond/internal/deb822"
	"millpond/internal/digest"
)

// system is a World of packages written as "name version arch; Field: value; …", where
// arch is that of the index. A name with a star is selected, one with a + is of a later
// suite.
func system(t *testing.T, packages ...string) *World {
	t.Helper()
	w := NewWorld()
	for _, s := range packages {
		head, fields, _ := strings.Cut(s, ";")
		f := strings.Fields(head)
		at := Index{Arch: "amd64"}
		if len(f) > 2 {
			at.Arch = f[2]
		}
		name, isLater := strings.CutPrefix(f[0], "+")
		name, isSelected := strings.CutPrefix(name, "*")
		at.Later = isLater
		text := fmt.Sprintf("Package: %s\nVersion: %s\nFilename: %s_%s_%s\nSize: 1\nSHA256: %s\n", name, f[1], name, f[1], at.Arch, digest.Of([]byte(s)))
		for field := range strings.SplitSeq(fields, ";") {
			if field = strings.TrimSpace(field); field != "" {
				text += field + "\n"
			}
		}
		for p, err := range deb822.PackageStanzas(strings.NewReader(text)) {
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Add(p, at, isSelected); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		packages []string
		missing  []string
		want     string // names, with version or architecture where several are there
		lacks    string
	}{
		{"nothing selected", []string{"a 1"}, nil, "", ""},
		{"all kinds of dependencies", []string{"*a 1; Depends: b; Pre-Depends: c; Recommends: d; Suggests: e", "b 1", "c 1", "d 1", "e 1"}, nil, "a_1 b_1 c_1 d_1", ""},
		{"a circle", []string{"*a 1; Depends: b", "b 1; Depends: c", "c 1; Depends: a"}, nil, "a_1 b_1 c_1", ""},
		{"the highest version", []string{"*a 1; Depends: b", "b 1", "b 3", "b 2"}, nil, "a_1 b_3", ""},
		{"the selection is of a name", []string{"*a 1", "a 2; Depends: b", "b 1", "*c 2", "c 1"}, nil, "a_2 b_1 c_2", ""},
		{"the candidate does not do", []string{"*a 1; Depends: b (<< 2)", "b 1", "b 2"}, nil, "a_1", "a: b (<< 2)"},
		{"version", []string{"*a 1; Depends: b (>= 2), c (= 1:1)", "b 2", "c 1:1"}, nil, "a_1 b_2 c_1:1", ""},

		{"the first alternative", []string{"*a 1; Depends: b | c", "b 1", "c 1"}, nil, "a_1 b_1", ""},
		{"the first that is there", []string{"*a 1; Depends: x | b (>= 2) | c", "b 1", "c 1"}, nil, "a_1 c_1", ""},
		{"one that is selected", []string{"*a 1; Depends: b | c", "b 1", "*c 1"}, nil, "a_1 c_1", ""},
		{"one that is needed besides", []string{"*a 1; Depends: b | c, d", "b 1", "c 1", "d 1; Depends: c"}, nil, "a_1 b_1 c_1 d_1", ""},
		{"an alternative that lacks something", []string{"*a 1; Depends: b | c", "b 1; Depends: d", "c 1", "d 1; Depends: x"}, nil, "a_1 b_1 c_1 d_1", "d: x"},
		{"a selected one that lacks something", []string{"*a 1; Depends: b | c", "b 1", "*c 1; Depends: x"}, nil, "a_1 b_1 c_1", "c: x"},
		{"broken in a circle", []string{"*a 1; Depends: b | c", "b 1; Depends: d", "d 1; Depends: b, x", "c 1"}, nil, "a_1 b_1 c_1 d_1", "d: x"},
		{"a Recommends that nothing satisfies", []string{"*a 1; Recommends: x, b", "b 1; Recommends: c", "c 1; Depends: x"}, nil, "a_1 b_1 c_1", "c: x"},

		{"virtual", []string{"*a 1; Depends: v", "b 1; Provides: v"}, nil, "a_1 b_1", ""},
		{"virtual and real", []string{"*a 1; Depends: b", "b 1", "c 1; Provides: b; Priority: required"}, nil, "a_1 b_1", ""},
		{"virtual, by priority", []string{"*a 1; Depends: v", "b 1; Provides: v; Priority: extra", "c 1; Provides: v; Priority: optional", "d 1; Provides: v; Priority: extra"}, nil, "a_1 c_1", ""},
		{"virtual, essential", []string{"*a 1; Depends: v", "b 1; Provides: v; Priority: required", "c 1; Provides: v; Essential: yes"}, nil, "a_1 c_1", ""},
		{"virtual, nothing decides", []string{"*a 1; Depends: v", "b 1; Provides: v", "c 1; Provides: v", "d 1; Provides: v"}, nil, "a_1 b_1 d_1", ""},
		{"virtual, one is selected", []string{"*a 1; Depends: v", "b 1; Provides: v", "*c 1; Provides: v", "d 1; Provides: v"}, nil, "a_1 c_1", ""},
		{"virtual with a version", []string{"*a 1; Depends: v (>= 2)", "b 1; Provides: v", "c 1; Provides: v (= 1)", "d 1; Provides: w, v (= 3)"}, nil, "a_1 d_1", ""},
		{"virtual without, and a version wanted", []string{"*a 1; Depends: v (>= 2)", "b 3; Provides: v"}, nil, "a_1", "a: v (>= 2)"},
		{"only the old version provides it", []string{"*a 1; Depends: v", "b 1; Provides: v", "b 2"}, nil, "a_1", "a: v"},

		{"of its architecture", []string{"*a 1 arm64; Depends: b", "b 1 amd64", "b 2 arm64"}, nil, "a_1_arm64 b_2_arm64", ""},
		{"of another architecture", []string{"*a 1; Depends: b", "b 1 arm64"}, nil, "a_1", "a: b"},
		{"foreign", []string{"*a 1; Depends: b", "b 1 arm64; Multi-Arch: foreign"}, nil, "a_1_amd64 b_1_arm64", ""},
		{"foreign, and its own", []string{"*a 1; Depends: b", "b 2 arm64; Multi-Arch: foreign", "b 1; Multi-Arch: foreign"}, nil, "a_1 b_1_amd64", ""},
		{"any", []string{"*a 1; Depends: b:any, c:any", "b 1 arm64; Multi-Arch: allowed", "c 1; Multi-Arch: allowed", "c 1 arm64; Multi-Arch: allowed"}, nil, "a_1 b_1_arm64 c_1_amd64", ""},
		{"any that is not allowed", []string{"*a 1; Depends: b:any", "b 1 arm64; Multi-Arch: same"}, nil, "a_1", "a: b:any"},
		{"named", []string{"*a 1; Depends: b:arm64", "b 1", "b 1 arm64"}, nil, "a_1 b_1_arm64", ""},
		{"native", []string{"*a 1; Depends: b:native", "b 1", "b 1 arm64"}, nil, "a_1_amd64 b_1_amd64", ""},

		{"a later suite is not asked", []string{"*a 1; Depends: b", "b 1", "+b 2"}, nil, "a_1 b_1", ""},
		{"a later suite is needed", []string{"*a 1; Depends: b (>= 2)", "b 1", "+b 2"}, nil, "a_1 b_2", ""},
		{"of a later suite", []string{"+*a 2; Depends: b, c", "a 1", "b 1", "+b 2", "+c 1"}, nil, "a_2 b_1 c_1", ""},

		{"a name that is nowhere", []string{"*a 1"}, []string{"a", "x"}, "a_1", "the selection: x"},
		{"a dependency that cannot be read", []string{"*a 1; Depends: b, c d", "b 1"}, nil, "a_1 b_1", "a: dependency \"c d\""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := system(t, test.packages...).Resolve(test.missing)
			var got []string
			for _, f := range r.Files {
				got = append(got, f.Path)
			}
			slices.Sort(got)
			want := strings.Fields(test.want)
			fits := func(path, want string) bool { return path == want || strings.HasPrefix(path, want+"_") }
			if !slices.EqualFunc(got, want, fits) {
				t.Errorf("got %q, want %q", got, want)
			}
			lacks := ""
			for _, l := range r.Lacks {
				name, _, _ := strings.Cut(l.Package, " 1 ")
				lacks += name + ": " + l.Needs
			}
			if !strings.HasPrefix(lacks, test.lacks) || (lacks == "") != (test.lacks == "") {
				t.Errorf("lacks %q, want %q", lacks, test.lacks)
			}
		})
	}
}

// Of many lacks the first are named, the others counted.
func TestLacksAreBounded(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range maxLacks + 7 {
		all = append(all, fmt.Sprintf("*a%d 1; Depends: x", i))
	}
	if r := system(t, all...).Resolve(nil); len(r.Lacks) != maxLacks || r.More != 7 || len(r.Files) != maxLacks+7 {
		t.Errorf("%d lacks named, %d more, %d files", len(r.Lacks), r.More, len(r.Files))
	}
}

// The result does not depend on the order of the packages.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	all := []string{
		"*a 1; Depends: b | c, v", "b 1; Depends: d | e", "c 1; Depends: f", "d 1; Depends: x", "e 1; Provides: v; Priority: extra",
		"f 1; Provides: v", "*g 1; Recommends: c | b, d",
	}
	paths := func(packages []string) (p []string) {
		for _, f := range system(t, packages...).Resolve(nil).Files {
			p = append(p, f.Path)
		}
		slices.Sort(p)
		return p
	}
	want := paths(all)
	for range len(all) {
		all = append(all[1:], all[0])
		if got := paths(all); !slices.Equal(got, want) {
			t.Errorf("%q gives %q, want %q", all, got, want)
		}
	}
}

// A World has a bound, which says what to do.
func TestWorldIsBounded(t *testing.T) {
	t.Parallel()
	w := NewWorld()
	w.text = maxText - 10
	p := deb822.Package{File: deb822.File{Path: "a"}, Name: "long", Version: "1", Provides: "something"}
	if err := w.Add(p, Index{}, true); err != ErrTooLarge || w.Len() != 0 {
		t.Errorf("%v with %d packages", err, w.Len())
	}
}

// Whatever the fields are, resolving ends, takes what is selected, and nothing twice.
func FuzzResolve(f *testing.F) {
	f.Add("b | c", "c (>= 1), a:any", "b (= 2), v", "v")
	f.Add("a | b", "a", "", "b, v | a")
	f.Fuzz(func(t *testing.T, a, b, c, provides string) {
		w := NewWorld()
		for i, depends := range []string{a, b, c} {
			name := string(rune('a' + i))
			p := deb822.Package{
				File: deb822.File{Path: name, Digest: digest.Of([]byte(name))}, Name: name, Version: "1",
				Depends: strings.ReplaceAll(depends, separator, " "), Provides: strings.ReplaceAll(provides, separator, " "),
			}
			if err := w.Add(p, Index{Arch: "amd64"}, i == 0); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[string]bool)
		for _, file := range w.Resolve(nil).Files {
			if seen[file.Path] {
				t.Errorf("%s twice", file.Path)
			}
			seen[file.Path] = true
		}
		if !seen["a"] {
			t.Error("what is selected was not taken")
		}
	})
}
