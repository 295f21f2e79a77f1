package fetch

import (
	"errors"

	"millpond/internal/fetch/release"
)

var (
	// ErrMoved says that the mirror has gone on to another generation of a
	// suite and no longer has the files of the one the client was given.
	ErrMoved = errors.New("the mirror has moved on to another generation of this suite")
	// ErrWrongBytes says that every source of a file sent something else than
	// its digest names, or the mirror none of what several indices list.
	ErrWrongBytes = errors.New("every source sent bytes that do not match the digest in the signed index")
	// ErrNotRelease says that the mirror answered a request for a Release
	// with something else, a captive portal's page for instance.
	ErrNotRelease = release.ErrNotRelease
	// ErrNotRejected says that a suite has no rejected Release of that digest.
	ErrNotRejected = release.ErrNotRejected
	// ErrNoSource says that no mirror or peer is known to have a file.
	ErrNoSource = errors.New("no source offers this file")
	// ErrClosed says that the box is shutting down.
	ErrClosed = errors.New("the box is shutting down")
)

// PeerError is what another box failed with, where no mirror was asked, or said more.
type PeerError struct{ Err error }

func (e *PeerError) Error() string { return e.Err.Error() }
func (e *PeerError) Unwrap() error { return e.Err }
