package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"millpond/internal/digest"
)

// PieceSize is how much of a large file is taken from one source at a time,
// in bytes. Twice that is the least that is taken in pieces. All boxes of a
// swarm must agree on it.
const PieceSize = 4 << 20

// pieces is how many a file of that size has.
func pieces(size int64) int { return int((size + PieceSize - 1) / PieceSize) }

// pieceDigests reads a file and returns the digest of each piece.
func pieceDigests(r io.Reader) ([]digest.Digest, error) {
	var all []digest.Digest
	for {
		h := digest.NewHasher()
		n, err := io.CopyN(h, r, PieceSize)
		if n > 0 {
			all = append(all, h.Digest())
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// manifestKey is a manifest's name in the table of names.
func manifestKey(d digest.Digest) string { return "pieces/" + d.String() }

// Manifest returns the digests of the pieces of a held blob that peers may
// have; fs.ErrNotExist for anything else. It is made once and kept.
func (f *Fetcher) Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	if _, ok := f.Catalog.Shared(d); !ok {
		return nil, fmt.Errorf("manifest of %s: %w", d.Short(), fs.ErrNotExist)
	}
	file, err := f.stored(d)
	if err != nil {
		return nil, err
	}
	defer file.Body.Close()
	select { // one at a time, or several who ask would each have it read whole
	case f.hashing <- struct{}{}:
		defer func() { <-f.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if all, err := recall[[]digest.Digest](f, manifestKey(d)); err != nil || all != nil {
		return all, err
	}
	all, err := pieceDigests(readerOf(ctx, file.Body))
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", d.Short(), err)
	}
	return all, remember(f, manifestKey(d), all)
}

// ctxReader ends reading with ctx.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func readerOf(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

func (c ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
