// Package deb822 reads the index files of Debian archives, which are written
// in Debian's control format (Debian Policy chapter 5, deb822(5)).
//
// It reads Release files, Packages and Sources indices, the Index of a .diff
// directory and the ed-style patches in it. Everything but a Release is read
// as a stream that yields one [File] after another: only the fields that a
// File holds are kept, one stanza at a time, so memory does not grow with the
// index.
//
// The readers take what apt takes: a line that is not of the control format, a
// field with a line longer than the buffer, and an entry whose path, size or
// SHA-256 is not usable are left out without an error, since one bad stanza
// must not lose the index. Text without any field is an error that names the
// line. Every Path that comes out is relative, clean and free of "..", control
// characters and backslashes.
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

	Date, ValidUntil time.Time // UTC; zero if not given, or not as a date
	ByHash           bool      // the mirror serves index files by-hash
	// BinaryAll says that clients read the indices in binary-all, where there are some:
	// in others the index of each architecture has the packages of all of them, too.
	BinaryAll bool
	// SignedBy are the fingerprints of the keys one of which has to sign the next
	// Release, in capitals; one with a ! behind it is that of a subkey.
	SignedBy []string

	Files  []File // of the SHA256 list only
	Hashes []Hash // of the other lists, if ByHash
	Weak   bool   // lists files, but none by SHA-256
	SHA512 bool   // lists files by SHA-512
}

// Hash is what a Release lists of a file in another list than that of SHA-256.
type Hash struct {
	Path string // as that of a File
	List string // "MD5Sum", "SHA1" or "SHA512": the directory in by-hash too
	Sum  string // hexadecimal digits in lower case
}
