package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"

	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/fetch/pieces"
	"millpond/internal/kv"
	"millpond/internal/peer"
)

const manifestPrefix = "pieces/"

// manifestKey is a manifest's name in the table of names.
func manifestKey(d digest.Digest) string { return manifestPrefix + d.String() }

// Kept chooses the rows of Options.Names that nothing tells again: all but manifests,
// which are made from the blobs.
func Kept(key, _ []byte) bool { return !bytes.HasPrefix(key, []byte(manifestPrefix)) }

// ForBackup chooses the rows that Kept does, but not those about logins: what would let
// somebody try these stays on the machine.
func ForBackup(key, value []byte) bool { return Kept(key, value) && !access.IsLogin(key) }

// Manifest implements peer.Inventory. A manifest is made once and kept.
func (f *Fetcher) Manifest(ctx context.Context, by peer.Asker, d digest.Digest) ([]digest.Digest, error) {
	if _, ok := f.shared(d, by.Kind); !ok {
		return nil, fmt.Errorf("manifest of %s: %w", d.Short(), fs.ErrNotExist)
	}
	file, err := f.storedForPeer(d)
	if err != nil {
		return nil, err
	}
	defer file.Body.Close()
	select { // one at a time, or several peers would each have the file read whole
	case f.hashing <- struct{}{}:
		defer func() { <-f.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if all, err := kv.GetJSON[[]digest.Digest](f.names, manifestKey(d)); err != nil || all != nil {
		return all, err
	}
	all, err := pieces.Digests(readerOf(ctx, file.Body))
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", d.Short(), err)
	}
	return all, kv.PutJSON(f.names, manifestKey(d), all)
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
