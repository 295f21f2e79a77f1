package catalog

import "strings"

// Package returns the package that the file at l belongs to: the binary
// package of a .deb, .udeb or .ddeb, the source package of a source file, ""
// of anything else, such as an index. It goes by the file's name alone, which
// archives must form as NAME_VERSION… (Debian Policy, sections 5.6.12 and C).
func (l Location) Package() string {
	file := l.Name()
	name, rest, ok := strings.Cut(file, "_")
	switch {
	case !ok || !isPackageName(name):
		return ""
	case isBinary(rest), isSource(rest):
		return name
	}
	return ""
}

// isBinary tells by what follows the name. Some vendors leave out the version.
func isBinary(rest string) bool {
	for _, ext := range []string{".deb", ".udeb", ".ddeb"} {
		if strings.HasSuffix(rest, ext) {
			return len(rest) > len(ext)
		}
	}
	return false
}

// isSource tells by what follows the name. Other tarballs with an underscore
// exist, such as debian-cd_info.tar.gz: only a version begins with a digit.
func isSource(rest string) bool {
	if rest == "" || rest[0] < '0' || rest[0] > '9' {
		return false
	}
	rest = strings.TrimSuffix(rest, ".asc") // upstream's signature
	if strings.HasSuffix(rest, ".dsc") || strings.HasSuffix(rest, ".diff.gz") {
		return true
	}
	for _, ext := range []string{".gz", ".xz", ".bz2", ".lzma", ".zst"} {
		if stem, ok := strings.CutSuffix(rest, ext); ok {
			return strings.HasSuffix(stem, ".tar")
		}
	}
	return false
}

// isPackageName takes what dpkg does, upper case included, which Policy has
// not.
func isPackageName(s string) bool {
	if len(s) < 2 || !isAlphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("+-.", c) < 0 {
			return false
		}
	}
	return true
}
