package store

import (
	"bytes"
	"fmt"
	"io/fs"
)

// WriteTrusted writes b, of a source that is trusted, at off. Where other bytes are
// there that are not trusted, b replaces them, and replaced is true. Trusted ones
// stay. After that all of [off, off+len(b)) is trusted; after an error nothing more
// than before. The errors are those of WriteAt, and of reading back.
func (p *Partial) WriteTrusted(b []byte, off int64) (replaced bool, err error) {
	p.life.RLock()
	defer p.life.RUnlock()
	end := off + int64(len(b))
	if err := p.prepare(off, end); err != nil {
		return false, err
	}
	p.begin(off, end)
	replaced, err = p.trustedInto(b, off)
	p.finish(off, end)
	if err != nil {
		return replaced, err
	}
	p.saveSometimes()
	return replaced, nil
}

// trustedInto is WriteTrusted for a caller that has begun the range.
func (p *Partial) trustedInto(b []byte, off int64) (replaced bool, err error) {
	end := off + int64(len(b))
	p.mu.Lock()
	doubtful := p.there.within(off, end).without(p.trusted)
	p.mu.Unlock()
	if _, err := p.fillHoles(b, off); err != nil {
		return false, err
	}
	for _, r := range doubtful {
		for at := r.Off; at < r.End; at += hashChunk {
			to := min(at+hashChunk, r.End)
			changed, err := p.correct(b[at-off:to-off], at)
			replaced = replaced || changed
			if err != nil {
				return replaced, fmt.Errorf("comparing a blob at %d: %w", at, p.s.diskFault(err))
			}
		}
	}
	p.Trust(off, end)
	return replaced, nil
}

// correct replaces what is there at off by b, of at most hashChunk bytes, if it
// differs.
func (p *Partial) correct(b []byte, off int64) (changed bool, err error) {
	buf := chunks.Get().(*[hashChunk]byte)
	defer chunks.Put(buf)
	old := buf[:len(b)]
	if _, err := p.file.ReadAt(old, off); err != nil {
		return false, err
	}
	if bytes.Equal(old, b) {
		return false, nil
	}
	if err := p.s.mayWrite(len(b)); err != nil {
		return false, err
	}
	p.hash.mu.Lock() // nobody hashes the old bytes meanwhile
	defer p.hash.mu.Unlock()
	p.hash.restartFrom(off)
	_, err = p.file.WriteAt(b, off)
	return true, err
}

// Trust makes trusted what is there in [off, end).
func (p *Partial) Trust(off, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.there.within(off, end) {
		p.trusted.add(r.Off, r.End)
	}
}

// Trusted returns how many trusted bytes follow from off on without a gap. It never
// waits for the disk.
func (p *Partial) Trusted(off int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trusted.available(off)
}

// Untrusted returns what is there and not trusted, ascending.
func (p *Partial) Untrusted() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there.without(p.trusted)
}

// Forget makes what is not trusted in [off, end) missing again, and returns what that
// is, ascending. It fails with fs.ErrClosed only.
func (p *Partial) Forget(off, end int64) ([]Range, error) {
	p.life.RLock()
	defer p.life.RUnlock()
	if p.ended {
		return nil, fmt.Errorf("forgetting bytes of a blob: %w", fs.ErrClosed)
	}
	p.mu.Lock()
	end = min(end, p.there.end()) // else SetSize would take the rest for being written
	p.mu.Unlock()
	if off >= end {
		return nil, nil
	}
	p.begin(off, end)
	forgotten := p.remove(off, end)
	p.finish(off, end)
	// Until others replace them they stay on the disk, too, and so take twice their
	// room there: rather too much than too little.
	for _, r := range forgotten {
		p.s.wrote(r.Off - r.End)
	}
	if len(forgotten) > 0 && p.keep {
		p.saving.Lock()
		defer p.saving.Unlock()
		p.save() // or a restart would bring them back
	}
	return forgotten, nil
}

// remove takes what Forget forgets out of what is there, and returns that.
func (p *Partial) remove(off, end int64) []Range {
	p.hash.mu.Lock() // nobody hashes them meanwhile
	defer p.hash.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	doubtful := p.there.within(off, end).without(p.trusted)
	for _, r := range doubtful {
		p.there.remove(r.Off, r.End)
	}
	if len(doubtful) > 0 {
		p.hash.restartFrom(doubtful[0].Off)
	}
	return doubtful
}
