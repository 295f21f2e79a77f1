package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Lend opens for a peer what it may have: a held blob, or the readable side
// of a download under way, whose bytes come as they arrive. With start the
// box downloads it, if it knows it: the peer counts on that. Anything else is
// fs.ErrNotExist, held or not.
func (f *Fetcher) Lend(ctx context.Context, d digest.Digest, start bool) (*File, error) {
	size, ok := f.Catalog.Shared(d)
	if !ok && start {
		size, ok = f.acquaint(ctx, d)
	}
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	if file, err := f.stored(d); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	var e catalog.Entry
	if start {
		e, start = f.Catalog.Describe(d)
	}
	fl, err := f.joinFor(d, e, start)
	if err != nil {
		return nil, err
	}
	b := fl.newBody(ctx, true)
	// The download that was joined may be a new one, begun after another had
	// brought the file.
	if file, err := f.stored(d); err == nil {
		b.Close()
		return file, nil
	}
	return &File{Digest: d, Size: size, Modified: time.Now(), Body: b}, nil
}

// joinFor returns the download of d under way, or with start begins one.
func (f *Fetcher) joinFor(d digest.Digest, e catalog.Entry, start bool) (*flight, error) {
	key := flightKey{digest: d}
	if start {
		return f.join(key, func() *flight { return f.newContentFlight(e) })
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.flights[key]
	if fl == nil {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	fl.enter()
	return fl, nil
}

// acquaint waits for d to become known, if the box is learning.
func (f *Fetcher) acquaint(ctx context.Context, d digest.Digest) (size int64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, f.waits.acquaintance)
	defer cancel()
	for {
		changed := f.Catalog.Changed()
		idle := f.Catalog.Idle() // before the look: what it brings is seen by then
		if size, ok = f.Catalog.Shared(d); ok || idle == nil {
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

// Pieces tells which pieces of a download under way are there, for peers: bit
// i of byte i/8, low bit first; fs.ErrNotExist if there is none.
func (f *Fetcher) Pieces(d digest.Digest) (size int64, have []byte, err error) {
	absent := fmt.Errorf("download of %s: %w", d.Short(), fs.ErrNotExist)
	if _, ok := f.Catalog.Shared(d); !ok {
		return 0, nil, absent
	}
	f.mu.Lock()
	fl := f.flights[flightKey{digest: d}]
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
	have = make([]byte, (pieces(size)+7)/8)
	for i := range pieces(size) {
		off := int64(i) * PieceSize
		if part.Available(off) >= min(PieceSize, size-off) {
			have[i/8] |= 1 << (i % 8)
		}
	}
	return size, have, nil
}
