package store

import (
	"io/fs"
	"slices"
)

// maxPlaces bounds the places kept of a private blob. Of more, the last ones
// count.
const maxPlaces = 8

// Modes of a blob's file. That of a private one tells so where the table was
// lost.
const (
	publicMode  fs.FileMode = 0o444
	privateMode fs.FileMode = 0o400
)

// lostPlace stands for the places of a private blob whose row was lost. No
// place has this name.
const lostPlace = "?"

func (r row) isPrivate() bool { return len(r.private) > 0 }

// mode is that of the blob's file.
func (r row) mode() fs.FileMode {
	if r.isPrivate() {
		return privateMode
	}
	return publicMode
}

// privateBy reads a lost row's places from the mode of the blob's file.
func privateBy(mode fs.FileMode) []string {
	if mode.Perm()&0o004 == 0 {
		return []string{lostPlace}
	}
	return nil
}

// alsoFrom returns the places of a held blob whose bytes came in again with m.
// Bytes that came without a login once are not private any more.
func (r row) alsoFrom(m Meta) []string {
	switch {
	case !r.isPrivate() || m.Private == "":
		return nil
	case slices.Contains(r.private, m.Private):
		return r.private
	}
	all := append(slices.Clone(r.private), m.Private)
	return all[max(len(all)-maxPlaces, 0):]
}
