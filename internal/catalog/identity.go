package catalog

import (
	"fmt"
	"path"
)

// Names reports whether the Release says that it is of the suite in dir: its Suite
// or Codename is the directory's name beneath dists, or that without its last part,
// as in bookworm/updates. apt warns of others ("Conflicting distribution";
// metaIndex::CheckDist). The directory of a flat archive has no such name.
func (g Generation) Names(dir Location) bool {
	_, name, ok := dir.SplitSuite()
	is := func(s string) bool { return s == name || s == path.Dir(name) }
	return ok && (is(g.Suite) || is(g.Codename))
}

// Foreign returns why now is not of the suite in dir that g is of, "" if it may be.
// A suite's Release goes on with its Origin or its Label, and with what the directory
// is named after: stable has another Codename some day, and bookworm another Suite.
// Where the directory is named after neither, one of the two stays the same.
func (g Generation) Foreign(dir Location, now Generation) string {
	archive := g.Origin == now.Origin || g.Label == now.Label || g.Origin+g.Label == ""
	suite := g.Suite != "" && g.Suite == now.Suite || g.Codename != "" && g.Codename == now.Codename || g.Suite+g.Codename == ""
	switch named := now.Names(dir); {
	case named && (archive || !g.Names(dir)):
		return ""
	case !archive:
		return fmt.Sprintf("Origin %q and Label %q instead of %q and %q", now.Origin, now.Label, g.Origin, g.Label)
	case !suite || g.Names(dir):
		return fmt.Sprintf("Suite %q and Codename %q instead of %q and %q", now.Suite, now.Codename, g.Suite, g.Codename)
	}
	return ""
}
