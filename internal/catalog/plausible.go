package catalog

import (
	"strings"

	"millpond/internal/deb"
	"millpond/internal/digest"
)

// Plausible reports whether l looks like a file of an archive by its path
// alone. Of archives without a Release, and of those that the box has not seen
// yet, nothing else is known.
func Plausible(l Location) bool {
	if _, _, _, ok := byHash(l); ok {
		return true
	}
	for _, dir := range []string{"/dists/", "/pool/", "/dep11/", "/cnf/", "/i18n/", ".diff/"} {
		if strings.Contains(l.Path, dir) {
			return true
		}
	}
	name := l.Name()
	return isIndexName(name) || isPackageName(name)
}

// isIndexName takes the names of Release files and indices in all compressions
// that apt reads.
func isIndexName(name string) bool {
	switch name {
	case "InRelease", "Release", "Release.gpg":
		return true
	}
	name = stem(name)
	if name == "Packages" || name == "Sources" || isLanguage(name) {
		return true
	}
	for _, prefix := range []string{"Contents-", "Translation-", "Commands-", "Components-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			rest = strings.TrimSuffix(rest, ".yml") // of Components
			return rest != "" && !strings.Contains(rest, ".")
		}
	}
	return false
}

// isLanguage takes a code such as en or pt_BR, by which apt asks for the
// translations of a flat archive.
func isLanguage(name string) bool {
	language, region, regional := strings.Cut(name, "_")
	lower := strings.Trim(language, "abcdefghijklmnopqrstuvwxyz") == ""
	return lower && len(language) == 2 && (!regional || region == strings.ToUpper(region) && len(region) == 2)
}

// isPackageName takes the names of packages, of changelogs and of the files of
// source packages, whatever the packages are called: small archives do not
// keep to Debian's names.
func isPackageName(name string) bool {
	for _, suffix := range []string{".deb", ".udeb", ".ddeb", ".dsc", ".diff.gz", "_changelog", ".changelog"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok && stem != "" {
			return true
		}
	}
	stem, _, ok := strings.Cut(name, ".tar.")
	if ok && (strings.HasSuffix(stem, ".orig") || strings.Contains(stem, ".orig-") || strings.HasSuffix(stem, ".debian")) {
		return true
	}
	f, ok := deb.ParseFileName(name)
	return ok && f.Architecture == deb.Source
}

// Known reports whether l lies beneath an archive that a Release was learned
// from, or an index lists it elsewhere.
func (c *Catalog) Known(l Location) bool {
	s := c.state.Load()
	for dir := range l.parents {
		if s.roots[dir] {
			return true
		}
	}
	// Whoever has the index that lists it.
	e, err := c.pooled(s, l, func(suite Location) digest.Digest { return s.suites[suite].current().ID })
	return err == nil && (e.Kind != Unknown || len(e.OneOf) > 0)
}
