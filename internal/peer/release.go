package peer

import (
	"context"
	"time"

	"millpond/internal/digest"
)

// MaxRelease is the most bytes that a Release file may have between boxes, as from a
// mirror.
const MaxRelease = 8 << 20

// ReleaseQuery asks a box for the Release of a suite as its mirror has it.
type ReleaseQuery struct {
	// Suite is the digest of the URL of the suite's directory. It tells a box that
	// does not have the suite nothing about it.
	Suite digest.Digest
	// Pair asks for Release with Release.gpg, not for InRelease.
	Pair bool
	// Held is the InRelease or the Release that the asking box holds, and Signature
	// the Release.gpg; zero with InRelease.
	Held, Signature digest.Digest
}

// ReleaseAnswer is what another box says to a ReleaseQuery.
type ReleaseAnswer struct {
	// Age is how long ago its mirror said that this Release is the present one.
	Age time.Duration
	// Release is the InRelease or the Release, and Signature the Release.gpg. Both are
	// nil if they are those that the query names.
	Release, Signature []byte
}

// Releases is where a box takes its answers from. Everything in it is signed.
type Releases interface {
	// Release answers a query from what the mirror of this box has confirmed within the
	// TTL. It asks the mirror if nothing was, and calls asking before it does so. The
	// error is fs.ErrNotExist if the box does not have the suite, may not share it with
	// by, or cannot say what the mirror has.
	Release(ctx context.Context, by Asker, q ReleaseQuery, asking func()) (ReleaseOffer, error)
}

// ReleaseOffer is a box's own answer. Open opens the files as they are in a
// ReleaseAnswer, signature being nil with InRelease, and the caller closes them; it is nil
// if they are those that the query names.
type ReleaseOffer struct {
	Age  time.Duration
	Open func(context.Context) (release, signature Upload, err error)
}
