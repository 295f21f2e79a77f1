package fetch

import (
	"context"
	"io"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// Peek is Get for a client that wants to know of a file, not to have it (HEAD):
// nothing is downloaded for it where the index tells all there is to tell. The
// File's Body may have no bytes.
func (f *Fetcher) Peek(ctx context.Context, r Request) (*File, error) {
	e := r.Entry
	if e.Kind != catalog.Content || e.Size < 0 || f.holds(e.Digest) {
		return f.Get(ctx, r)
	}
	err := errNoSource
	for _, l := range f.catalog.Mirrors(e) {
		var s *peer.Stream
		if s, err = (mirrorSource{client: f.mirror, Location: l}).Open(ctx, 0, 1); err != nil {
			continue
		}
		// Read, and so counted; of a mirror that ignores Range no more.
		io.CopyN(io.Discard, s, 1)
		s.Close()
		file := &File{Digest: e.Digest, Size: e.Size, Modified: s.Modified, Body: noBody{}}
		if file.Modified.IsZero() {
			file.Modified = time.Now()
		}
		return file, nil
	}
	return nil, err
}

// noBody is the Body of a file that was only asked about.
type noBody struct{}

func (noBody) Read([]byte) (int, error)             { return 0, io.EOF }
func (noBody) Seek(off int64, _ int) (int64, error) { return off, nil }
func (noBody) Close() error                         { return nil }
func (noBody) Origin() ledger.Origin                { return ledger.FromMirror }
