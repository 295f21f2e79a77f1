package store

import (
	"fmt"
	"sync"

	"millpond/internal/digest"
)

// running is the hash of a Partial's first bytes, which follows as holes are
// filled. It begins anew when bytes that it has seen change. It has a lock of its
// own: clients that wait for bytes do not wait for it.
type running struct {
	mu     sync.Mutex // guards both
	hasher *digest.Hasher
	seen   int64 // bytes hashed, all from the beginning on
}

// restartFrom has the hash begin anew if it has seen bytes from off on, which are
// not what they were. Caller holds mu.
func (h *running) restartFrom(off int64) {
	if h.seen > off {
		h.hasher, h.seen = digest.NewHasher(), 0
	}
}

// catchUp is how many bytes a write hashes beyond its own. What a resumed file
// has at the start, what a hash that began anew has seen before, and what lies behind
// a hole when it is filled, is read back and hashed in such steps by the writes that
// follow, the rest in Commit: no single write waits for gigabytes.
const catchUp = 1 << 20

// advance hashes what can be hashed now, with b, which was written at off,
// from memory. While another goroutine hashes, it does nothing: that one
// and later writes continue.
func (p *Partial) advance(b []byte, off int64) {
	for budget := len(b) + catchUp; budget > 0 && p.hash.mu.TryLock(); {
		n, err := p.hashSome(b, off)
		p.hash.mu.Unlock()
		if n == 0 || err != nil {
			return // an error comes back in Commit
		}
		budget -= n
	}
}

var chunks = sync.Pool{New: func() any { return new([hashChunk]byte) }}

// hashSome hashes the next bytes: of b if they are in there, which was written
// at off, else up to hashChunk of the file. Caller holds hash.mu.
func (p *Partial) hashSome(b []byte, off int64) (int, error) {
	h := &p.hash
	if skip := h.seen - off; skip >= 0 && skip < int64(len(b)) {
		n, _ := h.hasher.Write(b[skip:])
		h.seen += int64(n)
		return n, nil
	}
	n := min(p.Available(0)-h.seen, hashChunk)
	if n <= 0 {
		return 0, nil
	}
	buf := chunks.Get().(*[hashChunk]byte)
	defer chunks.Put(buf)
	if _, err := p.file.ReadAt(buf[:n], h.seen); err != nil {
		return 0, fmt.Errorf("reading back a blob at %d: %w", h.seen, p.s.diskFault(err))
	}
	h.hasher.Write(buf[:n])
	h.seen += n
	return int(n), nil
}

// finishHash hashes what is left and returns the digest.
func (p *Partial) finishHash() (digest.Digest, error) {
	p.hash.mu.Lock()
	defer p.hash.mu.Unlock()
	for {
		n, err := p.hashSome(nil, 0)
		if err != nil {
			return digest.Digest{}, err
		}
		if n == 0 {
			return p.hash.hasher.Digest(), nil
		}
	}
}

// Hasher returns a copy of the running hash and how many bytes from the
// beginning on it covers; more may be written.
func (p *Partial) Hasher() (*digest.Hasher, int64) {
	p.hash.mu.Lock()
	defer p.hash.mu.Unlock()
	return p.hash.hasher.Clone(), p.hash.seen
}
