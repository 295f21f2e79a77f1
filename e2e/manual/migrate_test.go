package manual

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millpond/e2e/internal/system"
)

// unpacked returns a directory with the files of a Debian package, which is not installed.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := system.Run("sh", "-euc", `cd "$1"; apt-get -q download "$2"; dpkg-deb -x "$2"_*.deb .`, "sh", dir, name); err != nil {
		t.Fatal(err)
	}
	return dir
}

// named are the options in a configuration that match, each once.
func named(t *testing.T, file string, option *regexp.Regexp) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range option.FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(all, m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

var (
	// inACNG is an option in acng.conf, switched on or commented out.
	inACNG = regexp.MustCompile(`(?m)^#? ?([A-Z][A-Za-z0-9]+(?:-[a-z]+)?):`)
	// inApprox is an option in approx.conf.
	inApprox = regexp.MustCompile(`(?m)^#(\$\w+)\s`)
	// inTable is a name in the first column of a table.
	inTable = regexp.MustCompile("(?m)^\\| ((?:`[^`|]+`(?:, )?)+) \\|")
)

// remarks are words before a colon in the comments of acng.conf.
var remarks = []string{"RULES", "Note", "NOTE", "Default", "Example", "Examples", "WARNING"}

// The pages for those who come from other caches have each option of these, and no others.
func TestEveryOptionHasAnEquivalent(t *testing.T) {
	acng, approx := unpacked(t, "apt-cacher-ng"), unpacked(t, "approx")
	for page, options := range map[string][]string{
		"apt-cacher-ng.md": slices.DeleteFunc(slices.Concat(
			named(t, filepath.Join(acng, "etc/apt-cacher-ng/acng.conf"), inACNG),
			named(t, filepath.Join(acng, "etc/apt-cacher-ng/security.conf"), inACNG),
		), func(s string) bool { return slices.Contains(remarks, s) }),
		"approx.md": named(t, filepath.Join(approx, "etc/approx/approx.conf"), inApprox),
	} {
		if len(options) < 10 {
			t.Fatalf("%s: only %q were found", page, options)
		}
		text, err := os.ReadFile(filepath.Join(docs, "migrate", page))
		if err != nil {
			t.Fatal(err)
		}
		var has []string
		for _, m := range inTable.FindAllStringSubmatch(string(text), -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				has = append(has, strings.Trim(name, "`"))
			}
		}
		for _, name := range options {
			if !slices.Contains(has, name) {
				t.Errorf("%s does not have %s", page, name)
			}
		}
		for _, name := range has {
			if !slices.Contains(options, name) {
				t.Errorf("%s has %s, which is no option", page, name)
			}
		}
	}
}
