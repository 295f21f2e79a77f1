package deb

import (
	"strings"
	"testing"
)

func TestParseFileName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]File{
		"gcc-12_12.2.0-14_amd64.deb":          {"gcc-12", "12.2.0-14", "amd64", "deb"},
		"partman-base_226_all.udeb":           {"partman-base", "226", "all", "udeb"},
		"bash-dbgsym_5.1-6ubuntu1_amd64.ddeb": {"bash-dbgsym", "5.1-6ubuntu1", "amd64", "ddeb"},
		"chrome-stable_current_amd64.deb":     {"chrome-stable", "current", "amd64", "deb"},
		"Agent_arm64.deb":                     {"Agent", "", "arm64", "deb"},
		"tool_1_2_all.deb":                    {"tool", "1_2", "all", "deb"},
		"gcc-12_12.2.0-14.dsc":                {Package: "gcc-12", Architecture: Source},
		"gcc-12_12.2.0.orig.tar.gz.asc":       {Package: "gcc-12", Architecture: Source},
		"hello_2.10-3.diff.gz":                {Package: "hello", Architecture: Source},
		"Packages.xz":                         {},
		"debian-cd_info.tar.gz":               {},
		"x_1_all.deb":                         {"x", "1", "all", "deb"},
		"-x_1_all.deb":                        {},
		"tool_.deb":                           {},
		"tool.deb":                            {},
		"tool_1.changes":                      {},
		"":                                    {},
	} {
		if got, ok := ParseFileName(name); got != want || ok != (want != File{}) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, want)
		}
	}
}

// The parts of a binary package's name make the name again.
func FuzzParseFileName(f *testing.F) {
	f.Add("gcc-12_12.2.0-14_amd64.deb")
	f.Add("Agent_arm64.deb")
	f.Add("dpkg_1.21.22.tar.xz.asc")
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := ParseFileName(name)
		if !ok {
			return
		}
		again := p.Package + "_" + p.Version + "_" + p.Architecture + "." + p.Type
		if p.Version != "" && again != name || !strings.HasPrefix(name, p.Package+"_") {
			t.Errorf("%q is read as %+v", name, p)
		}
	})
}
