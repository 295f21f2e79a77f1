package deb

import (
	"strings"
	"testing"
)

func TestSourceVersion(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"gcc-12_12.2.0-14.dsc":                  "12.2.0-14 whole",
		"gcc-12_12.2.0-14.debian.tar.xz":        "12.2.0-14 whole",
		"gcc-12_12.2.0.orig.tar.gz":             "12.2.0",
		"gcc-12_12.2.0.orig.tar.gz.asc":         "12.2.0",
		"node-x_1.2+~cs1.orig-types-y.tar.xz":   "1.2+~cs1",
		"hello_2.10-3.diff.gz":                  "2.10-3 whole",
		"dpkg_1.21.22.tar.xz":                   "1.21.22 whole",
		"tool_1.original2.tar.zst":              "1.original2 whole",
		"hello_2.10-3_amd64.deb":                "",
		"Packages.xz":                           "",
		"linux_6.1.tar":                         "",
		"linux-signed_6.1.90+1.dsc":             "6.1.90+1 whole",
		"linux-signed_6.1.90+1.orig-a.b.tar.xz": "6.1.90+1",
	} {
		version, whole := SourceVersion(name)
		if got := strings.TrimSuffix(version+" whole", map[bool]string{true: "", false: " whole"}[whole]); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The version is a part of the name, behind the package's.
func FuzzSourceVersion(f *testing.F) {
	f.Add("gcc-12_12.2.0-14.dsc")
	f.Add("node-x_1.2+~cs1.orig-types-y.tar.xz.asc")
	f.Add("a_1.tar.tar.gz")
	f.Fuzz(func(t *testing.T, name string) {
		version, _ := SourceVersion(name)
		p, ok := ParseFileName(name)
		if isSource := ok && p.Architecture == Source; isSource != (version != "") || version != "" && !strings.HasPrefix(name, p.Package+"_"+version+".") {
			t.Errorf("%q is read as version %q", name, version)
		}
	})
}
