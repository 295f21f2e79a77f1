package catalog

import (
	"strings"
	"testing"
)

func TestPackage(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0-14_amd64.deb":               "gcc-12",
		"/debian/pool/main/g/gcc-12/libstdc++6_12.2.0-14_amd64.deb":           "libstdc++6",
		"/debian/pool/main/p/partman-base/partman-base_226_amd64.udeb":        "partman-base",
		"/ubuntu/pool/main/b/bash/bash-dbgsym_5.1-6ubuntu1_amd64.ddeb":        "bash-dbgsym",
		"/flat/x11-tool_1~rc1+b1_all.deb":                                     "x11-tool",
		"/tool_1_all.deb":                                                     "tool",
		"/chrome/google-chrome-stable_current_amd64.deb":                      "google-chrome-stable",
		"/vendor/Agent_2.0_arm64.deb":                                         "Agent",
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0-14.dsc":                     "gcc-12",
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0.orig.tar.gz":                "gcc-12",
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0.orig.tar.gz.asc":            "gcc-12",
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0.orig-gdc.tar.bz2":           "gcc-12",
		"/debian/pool/main/g/gcc-12/gcc-12_12.2.0-14.debian.tar.xz":           "gcc-12",
		"/debian/pool/main/h/hello/hello_2.10-3.diff.gz":                      "hello",
		"/debian/pool/main/d/dpkg/dpkg_1.21.22.tar.xz":                        "dpkg",
		"/debian/dists/sid/InRelease":                                         "",
		"/debian/dists/sid/main/binary-amd64/Packages.xz":                     "",
		"/debian/dists/sid/main/binary-amd64/Packages.diff/Index":             "",
		"/debian/dists/sid/main/i18n/Translation-en_GB.bz2":                   "",
		"/debian/dists/sid/main/dep11/icons-128x128.tar.gz":                   "",
		"/debian/dists/sid/main/installer-amd64/images/debian-cd_info.tar.gz": "",
		"/debian/dists/sid/main/by-hash/SHA256/" + strings.Repeat("0a", 32):   "",
		"/debian/indices/md5sums.gz":                                          "",
		"/debian/pool/main/x/x_1_all.deb":                                     "", // of one letter
		"/debian/pool/-x_1_all.deb":                                           "",
		"/debian/pool/tool_.deb":                                              "",
		"/debian/pool/tool.deb":                                               "",
		"/debian/pool/naïve_1_all.deb":                                        "",
		"/debian/pool/tool_1.orig.tar":                                        "",
		"/debian/pool/tool_1.changes":                                         "",
		"/":                                                                   "",
		"":                                                                    "",
	} {
		if got := (Location{Path: path}).Package(); got != want {
			t.Errorf("%s: package %q, want %q", path, got, want)
		}
	}
}

// A package's name is the beginning of its file's, up to an underscore: files
// of a package are found by it.
func FuzzPackage(f *testing.F) {
	f.Add("/debian/pool/main/g/gcc-12/gcc-12_12.2.0-14_amd64.deb")
	f.Add("/debian/pool/main/d/dpkg/dpkg_1.21.22.tar.xz.asc")
	f.Add("/a_b/c_.udeb")
	f.Fuzz(func(t *testing.T, path string) {
		l := Location{Path: path}
		name := l.Package()
		if name != "" && (!strings.HasPrefix(l.Name(), name+"_") || strings.ContainsAny(name, "/_ ()\x00")) {
			t.Errorf("%q: package %q", path, name)
		}
	})
}
