package proxy

import (
	"net/http"
	"slices"
	"strings"

	"millpond/internal/catalog"
)

// mayBeAsked reports whether the box serves l of any host. Queries are for the
// hosts that may be asked for anything.
func (p *Proxy) mayBeAsked(l catalog.Location) bool {
	if strings.Contains(l.Tail, "?") {
		return false
	}
	// A directory is how tools find out whether the proxy and the host are there.
	directory := l.Tail != "" || l.Path == "/"
	return directory || catalog.Plausible(l) || isForTools(l) || p.catalog.Known(l)
}

// isForTools reports whether l is, by its name, one of the files beside the
// archives that apt and the tools around it ask their proxy for:
//
//   - lists of mirrors (apt-transport-mirror(1)): mirrors.txt, mirror.lst,
//     ubuntu.list, mirrorlist/debian;
//   - update-manager's meta-release, meta-release-lts, EOLReleaseAnnouncement;
//   - changelogs, of `apt-get changelog`;
//   - what an archive is set up with: x.list, x.sources, x.asc, x.gpg, x.key.
func isForTools(l catalog.Location) bool {
	name := strings.ToLower(l.Stem())
	switch {
	case slices.ContainsFunc([]string{".txt", ".list", ".lst", ".sources", ".asc", ".gpg", ".key", "changelog"}, func(end string) bool {
		return strings.HasSuffix(name, end)
	}):
		return true
	case strings.HasPrefix(name, "meta-release"), strings.HasPrefix(name, "mirror"), strings.Contains(name, "releaseannouncement"):
		return true
	}
	return strings.Contains(l.Path, "/changelogs/") || strings.Contains(l.Path, "/mirrorlist/")
}

// wantsRevalidation reports whether the client wants the mirror asked even if
// what is held is fresh (RFC 9111, sections 5.2.1.4 and 5.4), as apt does with
// its Acquire::http::No-Cache.
//
// max-age is ignored: apt sends max-age=0 with every request for an index
// unless it is told otherwise, so that it says nothing of a wish, and each
// client of a site would have the mirror asked once more. no-store (apt's
// Acquire::http::No-Store) is ignored as well: who gets a file and at whose
// cost would depend on who asks for it first.
func wantsRevalidation(h http.Header) bool {
	name := "Cache-Control"
	if len(h.Values(name)) == 0 {
		name = "Pragma"
	}
	for _, line := range h.Values(name) {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
				return true
			}
		}
	}
	return false
}
