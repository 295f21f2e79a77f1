// Package deb reads the names of Debian's files and orders versions. It does no
// I/O and knows nothing of archives.
//
// Archives form the names of packages as NAME_VERSION_ARCHITECTURE.deb and
// those of source files as NAME_VERSION and an end of their own (Debian
// Policy, sections 5.6.12 and C). A version in a file's name has no epoch.
package deb

import "strings"

// Source is the Architecture of the files of a source package.
const Source = "source"

// File is what the name of a package's file says.
type File struct {
	Package      string // binary package, or source package
	Version      string // of a binary package, without epoch; "" where a vendor leaves it out
	Architecture string // "all", "amd64", …; Source for a source file
	Type         string // "deb", "udeb", "ddeb", or "" for a source file
}

// ParseFileName reads the name of a file, without its directory. It takes
// binary packages (.deb, .udeb, .ddeb) and files of source packages (.dsc,
// .diff.gz, tarballs and upstream's signatures of these); ok is false for all
// else.
func ParseFileName(name string) (f File, ok bool) {
	pkg, rest, ok := strings.Cut(name, "_")
	if !ok || !isPackageName(pkg) {
		return File{}, false
	}
	for _, t := range []string{"deb", "udeb", "ddeb"} {
		if stem, ok := strings.CutSuffix(rest, "."+t); ok && stem != "" {
			i := strings.LastIndexByte(stem, '_')
			return File{Package: pkg, Version: stem[:max(i, 0)], Architecture: stem[i+1:], Type: t}, true
		}
	}
	if isSource(rest) {
		return File{Package: pkg, Architecture: Source}, true
	}
	return File{}, false
}

// isSource decides by what follows the name. Other tarballs with an underscore
// exist, such as debian-cd_info.tar.gz: only a version begins with a digit.
func isSource(rest string) bool {
	if rest == "" || !isDigit(rest[0]) {
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

// isPackageName accepts what dpkg does: also upper case and names of one letter,
// which Policy forbids.
func isPackageName(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("+-.", c) < 0 {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool { return isDigit(c) || isLetter(c) }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
