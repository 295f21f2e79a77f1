package swarm

import (
	"context"
	"io"
	"iter"

	"millpond/internal/digest"
)

// Holdings is what this box has for its peers. All that it shows is listed by
// a signed Release.
type Holdings interface {
	// Watch yields what is held, then each change, until ctx ends. Reset says
	// that a full listing follows and that what was yielded before no longer
	// counts. Each call is a listing of its own.
	Watch(ctx context.Context) iter.Seq[Holding]
	// Open returns a held blob or the readable side of a download under way;
	// fs.ErrNotExist for anything else. With fetch set the box starts the
	// download itself if it knows d: the asker counts on it (rendezvous).
	Open(ctx context.Context, d digest.Digest, fetch bool) (Content, error)
	// Manifest returns the SHA-256 of each 4 MiB piece of a held blob;
	// fs.ErrNotExist.
	Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error)
	// Pieces tells which pieces of a download under way are there: bit i of
	// byte i/8, low bit first; fs.ErrNotExist.
	Pieces(d digest.Digest) (size int64, have []byte, err error)
}

// Holding is one line of what is held: a blob that came, one that went, or a
// Reset, which has no digest.
type Holding struct {
	Digest digest.Digest
	Size   int64 // bytes
	Held   bool  // false: no longer
	Reset  bool
}

// Content is read by one goroutine. Size is in bytes; -1 when it is not known
// yet, and then there is no Range.
type Content interface {
	io.ReadSeekCloser
	Size() int64
}
