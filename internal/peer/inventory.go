package peer

import (
	"context"
	"io"
	"iter"

	"millpond/internal/digest"
)

// Inventory is what this box offers to its peers. Everything in it is listed
// by a signed Release.
type Inventory interface {
	// Watch yields the held blobs, then each change, until ctx ends. A listing
	// begins with an Event with Reset and ends with one with Synced. Another
	// listing may follow at any time. Until its Synced the blobs yielded before
	// remain valid; then those that it did not list are removed. It yields what
	// boxes of kind to may have.
	Watch(ctx context.Context, to Kind) iter.Seq[Event]
	// Open returns a held blob, or the readable side of a download in
	// progress: of that, bytes that are trusted come as they arrive, the others once
	// the whole is verified; fs.ErrNotExist for anything else. If r.Fetch says so the box
	// starts the download itself if its catalog has d, since the peer picked it as the
	// owner; at r.Off, where the peer is about to read.
	Open(ctx context.Context, by Asker, d digest.Digest, r Request) (Upload, error)
	// Manifest returns the digest of each piece of a held blob;
	// fs.ErrNotExist for anything else.
	Manifest(ctx context.Context, by Asker, d digest.Digest) ([]digest.Digest, error)
	// Pieces returns which pieces of a download in progress can be read, since all of
	// each is trusted, and the whole file's size in bytes; fs.ErrNotExist if there is none.
	Pieces(by Asker, d digest.Digest) (size int64, have Bitfield, err error)
}

// Event is one change of an Inventory: a blob that was added or removed, or,
// without a digest, the beginning (Reset) or the end (Synced) of a full listing.
type Event struct {
	Digest digest.Digest
	Size   int64 // bytes
	Held   bool  // false: removed
	Reset  bool
	Synced bool
}

// Upload is a file on its way to a peer, read by one goroutine.
type Upload interface {
	io.ReadSeekCloser
	// Size is in bytes, or -1 while unknown; Seek then fails.
	Size() int64
}
