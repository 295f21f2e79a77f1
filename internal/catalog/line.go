package catalog

import (
	"cmp"
	"strings"
)

// later are parts of the names of suites that apt takes packages of only when told to.
var later = []string{"backports", "proposed", "experimental"}

// Line names the distribution's release that a suite in dir is a part of, by the names
// that its Release has: bookworm for bookworm, bookworm-updates, bookworm-security and
// bookworm-backports. Of a Release without names it is the suite itself. onRequest says
// that apt takes packages of the suite only when told to, as of bookworm-backports.
func Line(dir Location, suite, codename string) (line string, onRequest bool) {
	line = cmp.Or(codename, suite)
	if line == "" {
		return dir.String(), false
	}
	for _, part := range later {
		onRequest = onRequest || strings.Contains(codename, part) || strings.Contains(suite, part)
	}
	if end := strings.IndexAny(line, "-/"); end > 0 {
		line = line[:end]
	}
	return line, onRequest
}
