package catalog

import "millpond/internal/deb"

// Package returns the package that the file at l belongs to: the binary
// package of a .deb, .udeb or .ddeb, the source package of a source file, ""
// of anything else, such as an index. Only the file's name counts.
func (l Location) Package() string {
	f, _ := deb.ParseFileName(l.Name())
	if len(f.Package) < 2 { // no package of an archive (Policy 5.6.1)
		return ""
	}
	return f.Package
}
