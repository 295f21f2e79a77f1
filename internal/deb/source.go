package deb

import "strings"

// SourceVersion returns the version that the name of a source package's file has, and
// whether that is the whole one, without its epoch: an upstream tarball
// (NAME_UPSTREAM.orig.tar.xz, NAME_UPSTREAM.orig-COMPONENT.tar.xz) has no revision in its
// name. It is "" for the name of any other file.
func SourceVersion(name string) (version string, whole bool) {
	f, ok := ParseFileName(name)
	if !ok || f.Architecture != Source {
		return "", false
	}
	rest := strings.TrimSuffix(name[len(f.Package)+1:], ".asc")
	for _, end := range []string{".dsc", ".diff.gz"} {
		if version, ok := strings.CutSuffix(rest, end); ok {
			return version, true
		}
	}
	stem := rest[:strings.LastIndex(rest, ".tar.")] // all others are tarballs
	if version, ok := strings.CutSuffix(stem, ".debian"); ok {
		return version, true
	}
	if i := strings.LastIndex(stem, ".orig"); i > 0 && (stem[i:] == ".orig" || strings.HasPrefix(stem[i:], ".orig-")) {
		return stem[:i], false
	}
	return stem, true // of a native package
}
