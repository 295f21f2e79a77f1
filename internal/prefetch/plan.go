package prefetch

import (
	"cmp"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/prefetch/uses"
)

// maxPlan bounds the packages of one prefetch, about 10 MB of memory; a point
// release has some hundreds that a site has installed. What is used least is left
// for the next prefetch.
const maxPlan = 16 << 10

// want is a package to be fetched.
type want struct {
	key     uses.Key
	version string
	rank    float64 // those with more come first
	files   []catalog.Entry
	fresh   bool            // its name is new
	older   []digest.Digest // that are held, at most maxOlder, the newest first; of a survey
}

// plan collects what is wanted.
type plan struct {
	lines map[catalog.Location]string // by suite
	wants []want                      // at most twice maxPlan
}

// newPlan returns an empty plan for suites of a catalog that has these.
func newPlan(suites []catalog.SuiteInfo) *plan { return &plan{lines: linesOf(suites)} }

func linesOf(suites []catalog.SuiteInfo) map[catalog.Location]string {
	lines := make(map[catalog.Location]string, len(suites))
	for _, s := range suites {
		lines[s.Location] = line(s)
	}
	return lines
}

// line names the distribution's release that a suite is a part of. What clients have from
// bookworm they update from bookworm-security and bookworm-updates, but neither from
// trixie nor, unless configured, from backports and proposed updates, which have lines of
// their own.
func line(s catalog.SuiteInfo) string {
	name, onRequest := catalog.Line(s.Location, s.Suite, s.Codename)
	switch {
	case !onRequest:
		return name
	case s.Codename != "" && s.Codename != name:
		return s.Codename
	}
	return cmp.Or(s.Suite, name) // Ubuntu's backports have the codename of the release
}

func (p *plan) add(w want) {
	p.wants = append(p.wants, w)
	if len(p.wants) >= 2*maxPlan {
		p.trim()
	}
}

// trim keeps the newest version of each package, and of those the maxPlan that are used
// most, in that order.
func (p *plan) trim() {
	slices.SortFunc(p.wants, func(a, b want) int {
		return cmp.Or(compareKeys(a.key, b.key), deb.CompareVersions(b.version, a.version))
	})
	p.wants = slices.CompactFunc(p.wants, func(a, b want) bool { return a.key == b.key })
	slices.SortStableFunc(p.wants, func(a, b want) int { return cmp.Compare(b.rank, a.rank) })
	clear(p.wants[min(len(p.wants), maxPlan):])
	p.wants = p.wants[:min(len(p.wants), maxPlan)]
}

func compareKeys(a, b uses.Key) int {
	return cmp.Or(
		strings.Compare(a.Package, b.Package), strings.Compare(a.Line, b.Line),
		strings.Compare(a.Architecture, b.Architecture), strings.Compare(a.Type, b.Type))
}
