// Package deb822 reads the index files of Debian archives, which are written
// in Debian's control format (Debian Policy chapter 5, deb822(5)).
//
// It reads Release files, Packages and Sources indices, the Index of a .diff
// directory and the ed-style patches in it. Everything but a Release is read
// as a stream that yields one [File] after another: only the fields that a
// File holds are kept, one stanza at a time, so memory does not grow with the
// index. A line longer than the buffer is an error if its field is kept, and
// is skipped otherwise.
//
// Every Path that comes out is relative, clean and free of "..", control
// characters and backslashes. An entry whose path, size or SHA-256 is not
// usable is left out without an error, since one bad stanza must not lose the
// index; text that is not control format at all is an error that names the
// line.
package deb822

import (
	"time"

	"millpond/internal/digest"
)

// File is a file that an index lists.
type File struct {
	// Path is relative to the archive root in Packages, Sources and patches,
	// to the directory of the Release in a Release, and to the directory of
	// the Index in an Index. It is clean in the sense of path.Clean.
	Path   string
	Size   int64 // bytes; -1 if the index does not say
	Digest digest.Digest
}

// Release is what the Release file of a suite says.
type Release struct {
	Origin, Label, Suite, Codename string

	Date, ValidUntil time.Time // UTC; zero if not given
	ByHash           bool      // the mirror serves index files by-hash

	Files []File // of the SHA256 list only
	Weak  bool   // lists files, but none by SHA-256
}
