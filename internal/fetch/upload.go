package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

// upload is a file on its way to a peer.
type upload struct {
	Body
	size int64
}

// Size implements peer.Upload.
func (u upload) Size() int64 { return u.size }

// Open implements peer.Inventory: it opens a held blob, or the readable side of
// a download in progress, whose bytes arrive as they arrive here. With r.Fetch
// the box downloads the blob, if it knows it, by is no stranger, and it is within
// the budget; with peer.FetchFromMirror it asks the mirror first. What may not be shared
// with by is fs.ErrNotExist, held or not.
func (f *Fetcher) Open(ctx context.Context, by peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error) {
	start := r.Fetch != peer.NoFetch && by.Kind > peer.Stranger
	size, ok := f.shared(d, by.Kind)
	if !ok && start {
		size, ok = f.awaitKnown(ctx, d, by.Kind)
	}
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	if u, err := f.openStored(d); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return u, err
	}
	var e catalog.Entry
	if start {
		e, start = f.catalog.Describe(d)
		start = start && e.Size >= 0 && e.Shared.Includes(by.Kind) && f.access.Login(e.Location, "") == ""
	}
	if !start {
		r.Fetch = peer.NoFetch
	}
	fl, paid, err := f.joinForPeer(by, d, size, e, r)
	if err != nil {
		return nil, err
	}
	b := fl.newBody(ctx, false)
	b.paid = paid
	// The download that was joined may be a new one, begun after another had
	// brought the file.
	if u, err := f.openStored(d); err == nil {
		b.Close()
		return u, nil
	}
	return upload{b, size}, nil
}

// openStored opens a held blob for a peer.
func (f *Fetcher) openStored(d digest.Digest) (peer.Upload, error) {
	file, err := f.storedForPeer(d)
	if err != nil {
		return nil, err
	}
	return upload{file.Body, file.Size}, nil
}

// storedForPeer opens a held blob that came without a login, or from where a
// setting shares it.
func (f *Fetcher) storedForPeer(d digest.Digest) (*File, error) {
	file, err := f.public(d)
	if errors.Is(err, fs.ErrNotExist) && f.listed(d) {
		return f.stored(d)
	}
	return file, err
}

// joinForPeer returns the download of d, of that size, in progress, or if asked for
// begins that of e, if it is within the peer's budget and that of all peers; paid
// says that it began. That one in progress is to ask the mirror, too, is within the
// budget: it may cost the mirror a copy more.
func (f *Fetcher) joinForPeer(by peer.Asker, d digest.Digest, size int64, e catalog.Entry, asked peer.Request) (fl *flight, paid bool, err error) {
	if asked.Fetch != peer.NoFetch && f.budget.take(by.ID, e.Size) {
		r, fromMirror := Request{Entry: e}, asked.Fetch == peer.FetchFromMirror
		fl, began, err := f.join(r, func() *flight {
			fl := f.newContentFlight(r)
			fl.first = asked.Off
			fl.payer = by.ID
			fl.fromMirror.Store(fromMirror)
			return fl
		})
		if !began && (err != nil || !fromMirror || !fl.skipPeers()) {
			f.budget.giveBack(by.ID, e.Size)
		}
		return fl, began, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.flights[flightKey{digest: d, size: size}]; fl == nil {
		return nil, false, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	fl.enter()
	return fl, false, nil
}

// awaitKnown waits until d is known to be shared with boxes of that kind, while
// the box is learning.
func (f *Fetcher) awaitKnown(ctx context.Context, d digest.Digest, to peer.Kind) (size int64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, f.timeouts.learnGrace)
	defer cancel()
	for {
		changed := f.catalog.Changed()
		idle := f.catalog.Idle() // before the look: what it brings is seen by then
		if size, ok = f.shared(d, to); ok || idle == nil {
			return size, ok
		}
		select {
		case <-changed:
		case <-idle: // a check may end with nothing new
		case <-ctx.Done():
			return 0, false
		}
	}
}

// Pieces implements peer.Inventory. Only trusted pieces can be read (see released).
func (f *Fetcher) Pieces(by peer.Asker, d digest.Digest) (size int64, have peer.Bitfield, err error) {
	absent := fmt.Errorf("download of %s: %w", d.Short(), fs.ErrNotExist)
	size, ok := f.shared(d, by.Kind)
	if !ok {
		return 0, nil, absent
	}
	f.mu.Lock()
	fl := f.flights[flightKey{digest: d, size: size}]
	f.mu.Unlock()
	if fl == nil {
		return 0, nil, absent
	}
	fl.mu.Lock()
	part := fl.part
	fl.mu.Unlock()
	if part == nil || part.Size() < 0 {
		return 0, nil, absent
	}
	size = part.Size()
	have = peer.NewBitfield(peer.Pieces(size))
	for i := range peer.Pieces(size) {
		if off, n := peer.PieceAt(i, size); part.Trusted(off) >= n {
			have.Set(i)
		}
	}
	return size, have, nil
}
