package prefetch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
)

// maxPlan bounds the packages of one prefetch, about 10 MB of memory; a point
// release has some hundreds that a site has installed. The least recently used
// are left for the next prefetch.
const maxPlan = 16 << 10

// want is a package to be fetched.
type want struct {
	catalog.Entry
	name    string // of the package with its architecture and line
	version string
	used    time.Time // of the older version that is held
}

// plan collects what is wanted.
type plan struct {
	lines map[catalog.Location]string // by suite
	wants []want                      // at most twice maxPlan
}

// newPlan returns an empty plan for suites of a catalog that has these.
func newPlan(suites []catalog.SuiteInfo) *plan {
	p := &plan{lines: make(map[catalog.Location]string, len(suites))}
	for _, s := range suites {
		p.lines[s.Location] = line(s)
	}
	return p
}

// line names the distribution's release that a suite is a part of. What
// clients have from bookworm they update from bookworm-security and
// bookworm-updates, but neither from trixie nor, unless configured, from
// backports and proposed updates.
func line(s catalog.SuiteInfo) string {
	name := cmp.Or(s.Codename, s.Suite, s.Location.String())
	if strings.Contains(name, "backports") || strings.Contains(name, "proposed") || strings.Contains(name, "://") {
		return name
	}
	if end := strings.IndexAny(name, "-/"); end > 0 {
		return name[:end]
	}
	return name
}

func (p *plan) add(w want) {
	p.wants = append(p.wants, w)
	if len(p.wants) >= 2*maxPlan {
		p.trim()
	}
}

// trim keeps the newest version of each package, and of those the maxPlan most
// recently used, in that order.
func (p *plan) trim() {
	slices.SortFunc(p.wants, func(a, b want) int {
		return cmp.Or(strings.Compare(a.name, b.name), deb.CompareVersions(b.version, a.version))
	})
	p.wants = slices.CompactFunc(p.wants, func(a, b want) bool { return a.name == b.name })
	slices.SortStableFunc(p.wants, func(a, b want) int { return b.used.Compare(a.used) })
	p.wants = p.wants[:min(len(p.wants), maxPlan)]
}

// best returns what to fetch, the most useful first.
func (p *plan) best() []catalog.Entry {
	p.trim()
	files := make([]catalog.Entry, len(p.wants))
	for i, w := range p.wants {
		files[i] = w.Entry
	}
	return files
}
