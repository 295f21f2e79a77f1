package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// Peek is Get for a client that wants to know of a file, not to have it (HEAD):
// of one that is not held the mirror is asked for a single byte. The File's Body
// may have no bytes.
func (f *Fetcher) Peek(ctx context.Context, r Request) (*File, error) {
	r.Login = f.access.Login(r.Location, r.Login)
	ctx = mirror.For(ctx, r.Party, r.Via)
	e := r.Entry
	switch {
	case e.Kind == catalog.Unknown && !f.holdsUnknown(r):
		file, err := f.peekAt(ctx, e, withFailover(f.mirrorsAt(r.Location, r.Login, -1, "")))
		var status *mirror.StatusError
		if !errors.As(err, &status) || status.Code != http.StatusRequestedRangeNotSatisfiable {
			return file, err
		}
		// It is empty.
	case e.Kind == catalog.Content && e.Size >= 0 && !f.holdsFor(r):
		return f.peekAt(ctx, e, withFailover(f.mirrorsFor(r)))
	}
	return f.Get(ctx, r)
}

// peekAt asks where the file may be, one place after the other.
func (f *Fetcher) peekAt(ctx context.Context, e catalog.Entry, places []mirrorSource) (*File, error) {
	var told error
	for _, m := range places {
		m.request.Small = true
		s, err := m.Open(ctx, 0, 1)
		if err != nil {
			told = moreTelling(told, err)
			continue
		}
		// Read, and so counted; of a mirror that ignores Range no more.
		io.CopyN(io.Discard, s, 1)
		s.Close()
		file := &File{Digest: e.Digest, Size: e.Size, Modified: s.Modified, Body: noBody{}}
		if e.Kind == catalog.Unknown {
			file.Size = s.Size
		} else if file.Modified.IsZero() {
			file.Modified = time.Now()
		}
		return file, nil
	}
	return nil, cmp.Or(told, ErrNoSource)
}

// noBody is the Body of a file that was only asked about.
type noBody struct{}

func (noBody) Read([]byte) (int, error)             { return 0, io.EOF }
func (noBody) Seek(off int64, _ int) (int64, error) { return off, nil }
func (noBody) Close() error                         { return nil }
func (noBody) Origin() ledger.Origin                { return ledger.FromMirror }
