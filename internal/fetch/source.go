package fetch

import (
	"context"
	"io"
	"iter"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

// Source knows who can give a blob: the mirrors, or the peers.
type Source interface {
	// Find yields providers of the content that e names, best first. It may
	// block between two to look further, and ends when ctx does.
	Find(ctx context.Context, e catalog.Entry) iter.Seq[Provider]
}

// Provider is one place that may give a blob. What it sends is not trusted.
type Provider interface {
	// String names the provider in logs.
	String() string
	// Origin says under which heading its bytes are counted.
	Origin() ledger.Origin
	// Source names the provider for good, beside the file.
	Source() store.Provenance
	// Open asks for the bytes from off on, n of them or, for 0, to the end.
	// Errors are those of package mirror or wrap them.
	Open(ctx context.Context, off, n int64) (*Stream, error)
	// Report tells how a transfer went.
	Report(Outcome)
}

// Stream is a provider's answer.
type Stream struct {
	io.ReadCloser
	Off      int64     // where the stream begins; 0 although more was asked: Range is ignored
	Size     int64     // of the whole file, -1 if not told
	Modified time.Time // zero if not told
}
