package fetch

import (
	"fmt"
	"os"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

// checkedBody is the Body of a held Release file. Its bytes are hashed as they are read,
// and the last ones are not given away if they are damaged: the file was hashed when it
// was opened, but it is read from the disk again.
type checkedBody struct {
	blob   *store.Blob
	origin ledger.Origin
	hash   *digest.Hasher
	at     int64 // where the next Read begins
	hashed int64 // bytes of the beginning that hash has
}

var _ Body = (*checkedBody)(nil)

func newCheckedBody(b *store.Blob, origin ledger.Origin) *checkedBody {
	return &checkedBody{blob: b, origin: origin, hash: digest.NewHasher()}
}

// Read implements io.Reader.
func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.blob.Read(p)
	if b.at <= b.hashed && b.hashed < b.at+int64(n) {
		_, _ = b.hash.Write(p[b.hashed-b.at : n])
		b.hashed = b.at + int64(n)
	}
	b.at += int64(n)
	info := b.blob.Info()
	if b.at >= info.Size && b.hashed >= info.Size && b.hash.Digest() != info.Digest {
		return 0, fmt.Errorf("blob %s: %w: it was damaged after it was opened", info.Digest, store.ErrMismatch)
	}
	return n, err
}

// Seek implements io.Seeker.
func (b *checkedBody) Seek(offset int64, whence int) (int64, error) {
	at, err := b.blob.Seek(offset, whence)
	if err == nil {
		b.at = at
		if at == 0 { // what is read again is hashed again
			b.hash, b.hashed = digest.NewHasher(), 0
		}
	}
	return at, err
}

// Stored is the file that is read, for those who see to it that it is still there.
func (b *checkedBody) Stored() *os.File { return b.blob.File }

// Close implements io.Closer.
func (b *checkedBody) Close() error { return b.blob.Close() }

// Origin implements Body.
func (b *checkedBody) Origin() ledger.Origin { return b.origin }
