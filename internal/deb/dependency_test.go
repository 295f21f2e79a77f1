package deb

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestParseDependencies(t *testing.T) {
	t.Parallel()
	for field, want := range map[string][]Dependency{
		"":                      nil,
		" , ":                   nil,
		"libc6":                 {{{Package: "libc6"}}},
		"libc6 (>= 2.34), awk":  {{{Package: "libc6", Op: ">=", Version: "2.34"}}, {{Package: "awk"}}},
		"libc6(>=2.34),awk,":    {{{Package: "libc6", Op: ">=", Version: "2.34"}}, {{Package: "awk"}}},
		"a | b (<< 1:2~)|c":     {{{Package: "a"}, {Package: "b", Op: "<<", Version: "1:2~"}, {Package: "c"}}},
		"python3:any (>> 3.1~)": {{{Package: "python3", Arch: "any", Op: ">>", Version: "3.1~"}}},
		"gcc:native, g++:i386":  {{{Package: "gcc", Arch: "native"}}, {{Package: "g++", Arch: "i386"}}},
		"a\n (= 1-2),\n\tb":     {{{Package: "a", Op: "=", Version: "1-2"}}, {{Package: "b"}}},
		"a (< 1), b (> 1)":      {{{Package: "a", Op: "<=", Version: "1"}}, {{Package: "b", Op: ">=", Version: "1"}}},
		"perlapi-5.36.0":        {{{Package: "perlapi-5.36.0"}}},
	} {
		got, err := ParseDependencies(field)
		if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%q: %v, %v; want %v", field, got, err, want)
		}
	}
}

// The rest of the field is read.
func TestParseBadDependencies(t *testing.T) {
	t.Parallel()
	for field, part := range map[string]string{
		"ok, a b":               "a b",
		"ok, a (>= )":           "a (>= )",
		"a (1.0), ok":           "a (1.0)",
		"a (>= 1.0, ok":         "a (>= 1.0",
		"a (=> 1.0), ok":        "a (=> 1.0)",
		"a (>= 1) [amd64], ok":  "a (>= 1) [amd64]",
		"a <!nocheck>, ok":      "a <!nocheck>",
		"a |, ok":               "a |",
		"| a, ok":               "| a",
		"a:, ok":                "a:",
		"a:b:c, ok":             "a:b:c",
		"-a, ok":                "-a",
		"${shlibs:Depends}, ok": "${shlibs:Depends}",
	} {
		got, err := ParseDependencies(field)
		if len(got) != 1 || got[0].String() != "ok" || err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, %v", field, got, err)
		}
	}
}

// dpkg decides which versions satisfy a relation.
func TestAllows(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"<<", "<=", "=", ">=", ">>"} {
		for _, version := range []string{"1.0~rc1", "1.0", "0:1.0", "1.0-1", "1:0"} {
			r := Relation{Package: "a", Op: op, Version: "1.0"}
			err := exec.Command("dpkg", "--compare-versions", version, op, "1.0").Run()
			if r.Allows(version) != (err == nil) {
				t.Errorf("%s for %s: %v, dpkg (of every Debian): %v", r, version, r.Allows(version), err)
			}
		}
	}
	if r := (Relation{Package: "a"}); !r.Allows("") || !r.Allows("1") {
		t.Error("a relation without a version refuses one")
	}
}

// What comes out is written and read again as the same.
func FuzzParseDependencies(f *testing.F) {
	f.Add("libc6 (>= 2.34), default-mta | mail-transport-agent, python3:any (<< 4)")
	f.Add("a (=1)|b:native,,c(<2)")
	f.Add("a (>= 1) [amd64] <!x>, a::b, (, )")
	f.Fuzz(func(t *testing.T, field string) {
		all, _ := ParseDependencies(field)
		if len(all) > 1+strings.Count(field, ",") {
			t.Errorf("%q: %d dependencies", field, len(all))
		}
		texts := make([]string, len(all))
		for i, d := range all {
			texts[i] = d.String()
		}
		again, err := ParseDependencies(strings.Join(texts, ", "))
		if err != nil || !slices.EqualFunc(again, all, slices.Equal) {
			t.Errorf("%q is read as %v and read back as %v, %v", field, all, again, err)
		}
	})
}
