package dishonest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// slowRate is what a modem had: far too slow, and never silent for long.
	slowRate = 17 << 10 // bytes per second
	// wrongBytes are in the middle of a file.
	wrongBytes = 1000
)

// inventory is false in the way of its kind.
type inventory struct {
	kind  Kind
	seed  byte
	files map[digest.Digest]File

	mu        sync.Mutex // guards manifests
	manifests map[digest.Digest][]digest.Digest
}

var _ peer.Inventory = (*inventory)(nil)

func newInventory(c Config) *inventory {
	inv := &inventory{kind: c.Kind, seed: c.Seed, files: make(map[digest.Digest]File), manifests: make(map[digest.Digest][]digest.Digest)}
	for _, f := range c.Files {
		inv.files[f.Digest] = f
	}
	return inv
}

// Watch implements peer.Inventory.
func (inv *inventory) Watch(ctx context.Context, _ peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		if !yield(peer.Event{Reset: true}) {
			return
		}
		if inv.kind.Listing() {
			for d, f := range inv.files {
				if !yield(peer.Event{Digest: d, Size: f.Size, Held: true}) {
					return
				}
			}
		}
		if yield(peer.Event{Synced: true}) {
			<-ctx.Done()
		}
	}
}

// Open implements peer.Inventory.
func (inv *inventory) Open(ctx context.Context, _ peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error) {
	f, ok := inv.files[d]
	switch {
	case !ok, inv.kind == False, inv.kind == Empty, inv.kind == Squatter && r.Fetch == peer.NoFetch:
		return nil, fs.ErrNotExist
	case inv.kind == Squatter:
		return silence{ctx}, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	return &upload{ctx: ctx, inv: inv, file: file, size: f.Size, end: -1}, nil
}

// Manifest implements peer.Inventory.
func (inv *inventory) Manifest(ctx context.Context, _ peer.Asker, d digest.Digest) ([]digest.Digest, error) {
	f, ok := inv.files[d]
	if !ok || !inv.kind.Listing() || inv.kind == False {
		return nil, fs.ErrNotExist
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if m := inv.manifests[d]; m != nil {
		return m, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var m []digest.Digest
	piece := make([]byte, peer.PieceSize)
	for i := range peer.Pieces(f.Size) {
		off, n := peer.PieceAt(i, f.Size)
		if _, err := file.ReadAt(piece[:n], off); err != nil {
			return nil, err
		}
		if inv.kind == Forged {
			inv.spoil(piece[:n], off, f.Size)
		}
		m = append(m, sha256.Sum256(piece[:n]))
	}
	inv.manifests[d] = m
	return m, ctx.Err()
}

// Pieces implements peer.Inventory: no download is in progress.
func (inv *inventory) Pieces(peer.Asker, digest.Digest) (int64, peer.Bitfield, error) {
	return 0, nil, fs.ErrNotExist
}

// spoil makes b, bytes from off on of a file of size bytes, wrong in its middle.
func (inv *inventory) spoil(b []byte, off, size int64) {
	from := size/2 - off
	for i := max(from, 0); i < min(from+wrongBytes, int64(len(b))); i++ {
		b[i] ^= 0x80 | inv.seed
	}
}

// silence is a download that brings nothing.
type silence struct{ ctx context.Context }

func (silence) Size() int64                    { return -1 }
func (silence) Seek(int64, int) (int64, error) { return 0, errors.New("the size is not known") }
func (silence) Close() error                   { return nil }
func (s silence) Read([]byte) (int, error)     { <-s.ctx.Done(); return 0, context.Cause(s.ctx) }

// upload is a file on its way to an honest box.
type upload struct {
	ctx  context.Context
	inv  *inventory
	file *os.File
	size int64
	at   int64
	end  int64 // where NinetyNine stops; -1 before the first read
}

func (u *upload) Size() int64  { return u.size }
func (u *upload) Close() error { return u.file.Close() }

func (u *upload) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		u.at = off
	case io.SeekEnd:
		u.at = u.size + off
	default:
		return 0, fmt.Errorf("whence %d", whence)
	}
	return u.at, nil
}

func (u *upload) Read(b []byte) (int, error) {
	switch u.inv.kind {
	case Staller:
		return 0, u.silent()
	case NinetyNine:
		if u.end < 0 {
			u.end = u.stop()
		}
		if u.at >= u.end {
			return 0, u.silent()
		}
		b = b[:min(int64(len(b)), u.end-u.at)]
	case Slow:
		b = b[:min(len(b), slowRate/10)]
		select {
		case <-time.After(time.Second / 10):
		case <-u.ctx.Done():
			return 0, context.Cause(u.ctx)
		}
	}
	n, err := u.file.ReadAt(b, u.at)
	if u.inv.kind == Wrong || u.inv.kind == Forged {
		u.inv.spoil(b[:n], u.at, u.size)
	}
	u.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// silent waits until the other box gives up.
func (u *upload) silent() error {
	<-u.ctx.Done()
	return context.Cause(u.ctx)
}

// stop is where 99 % of what was asked for end: the file, or, of a request that begins
// in its middle, the piece.
func (u *upload) stop() int64 {
	if u.at == 0 {
		return u.size * 99 / 100
	}
	off, n := peer.PieceAt(int(u.at/peer.PieceSize), u.size)
	return off + n*99/100
}
