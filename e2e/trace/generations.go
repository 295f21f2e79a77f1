package main

import (
	"cmp"
	"regexp"
	"slices"

	"millpond/internal/deb"
)

var digits = regexp.MustCompile(`[0-9]+`)

// family is a name without its numbers: that of linux-image-6.1.0-50-amd64 is that of
// linux-image-6.1.0-56-amd64 too.
func family(name string) string { return digits.ReplaceAllString(name, "#") }

// newest returns the packages of next that are newer than those of now, each once. One
// with a new name is taken for the newest one of its family, under whose name it comes.
func newest(now, next []stanza) (all []stanza) {
	have, families := make(map[string]stanza), make(map[string]stanza)
	for _, s := range now {
		if deb.CompareVersions(s.version, have[s.name].version) > 0 {
			have[s.name] = s
		}
		if f := family(s.name); deb.CompareVersions(s.version, families[f].version) > 0 {
			families[f] = s
		}
	}
	best := make(map[string]stanza)
	for _, s := range next {
		old, known := have[s.name]
		if !known {
			if old = families[family(s.name)]; old.name == "" {
				continue
			}
			s.name, s.renamed = old.name, true
		}
		if deb.CompareVersions(s.version, old.version) > 0 && deb.CompareVersions(s.version, best[s.name].version) > 0 {
			best[s.name] = s
		}
	}
	for _, s := range best {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y stanza) int { return cmp.Compare(x.name, y.name) })
	return all
}
