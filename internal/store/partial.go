package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"millpond/internal/digest"
)

// Partial is an unfinished blob. All methods may be called by several
// goroutines at once. It ends with Commit, Discard or Close; after that,
// writing gives fs.ErrClosed.
//
// Each byte is missing or there, and one that is there may be trusted: the caller
// says which may be given out before the whole is verified. A trusted byte never
// changes. One that is not changes only if WriteTrusted has another one for its
// place, and is missing again after Forget; a second WriteAt of it is ignored.
// Whoever reads bytes that are not trusted may get either.
//
// Lock order: life, grow, saving; the locks of Store; mu last. Neither hashing
// nor the disk is waited for under mu.
type Partial struct {
	s       *Store
	file    *os.File
	path    string
	bucket  int  // of the party, or signed
	keep    bool // Close keeps what is there, under digest
	may     allowance
	resumed bool

	life  sync.RWMutex // held by writers for reading, by the call that ends it for writing
	ended bool         // guarded by life
	blob  bool         // ended with a blob of these bytes; guarded by life

	grow   sync.Mutex // one reservation at a time
	saving sync.Mutex // one writer of the map file at a time

	hash  running
	ahead writeAhead

	readers int  // PartialReaders of its file; guarded by Store.mu
	listed  bool // the file is a blob's, and its readers keep that open; guarded by Store.mu

	mu       sync.Mutex // guards all below
	digest   digest.Digest
	size     int64 // -1 while unknown
	there    spans
	trusted  spans      // of there
	writing  []Range    // being written now
	written  *sync.Cond // of mu: writing has got shorter
	reserved int64      // counted in Store.count.partial
	unsaved  int64      // bytes there that the map file does not know
	saved    time.Time  // when the map file was written, or the Partial opened
}

// Partial opens the unfinished blob d for writing, with the bytes that an earlier
// process or attempt left. size is -1 if it is not known yet. The errors
// are ErrBusy while another Partial of d is open, fs.ErrExist if d is held,
// ErrNoSpace and ErrDisk.
func (s *Store) Partial(d digest.Digest, size int64) (*Partial, error) {
	return s.partial(d, size, signed, allowance{})
}

// PartialInFreeRoom is Partial for what is not worth evicting anything: ErrNoSpace
// comes instead.
func (s *Store) PartialInFreeRoom(d digest.Digest, size int64) (*Partial, error) {
	return s.partial(d, size, signed, allowance{freeOnly: true})
}

func (s *Store) partial(d digest.Digest, size int64, bucket int, may allowance) (*Partial, error) {
	if err := s.stuck(); err != nil {
		return nil, fmt.Errorf("partial blob %s: %w", d, err)
	}
	p := s.newPartial(d, size, bucket)
	p.path, p.keep, p.may = s.partialPath(d), true, may
	left, err := s.acquire(p)
	if err != nil {
		return nil, fmt.Errorf("partial blob %s: %w", d, err)
	}
	if err := p.start(); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.partials, d)
		if left.bytes > 0 {
			s.addIdle(d, left)
		}
		return nil, fmt.Errorf("partial blob %s: %w", d, err)
	}
	return p, nil
}

// acquire makes p the one open Partial of its digest and returns what was idle.
func (s *Store) acquire(p *Partial) (left idle, err error) {
	s.meta.Lock()
	defer s.meta.Unlock()
	switch _, err := s.row(p.digest); {
	case err == nil:
		return left, fs.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return left, s.diskFault(err)
	}
	s.mu.Lock()
	_, busy := s.partials[p.digest]
	if !busy {
		s.partials[p.digest] = p
	}
	s.mu.Unlock()
	if busy {
		return left, ErrBusy
	}
	left, _ = s.takeIdle(p.digest)
	return left, nil
}

// Create opens an unfinished blob whose digest is not known until Commit. It
// cannot be resumed: Close discards it.
func (s *Store) Create(size int64) (*Partial, error) { return s.CreateFor(digest.Digest{}, size) }

// CreateFor is Create for a blob that must have digest d, if d is not zero. It
// has nothing to do with Partial's: d may be held, and several may be open.
func (s *Store) CreateFor(d digest.Digest, size int64) (*Partial, error) {
	return s.createFor(d, size, signed, allowance{})
}

func (s *Store) createFor(d digest.Digest, size int64, bucket int, may allowance) (*Partial, error) {
	if err := s.stuck(); err != nil {
		return nil, fmt.Errorf("creating a blob: %w", err)
	}
	p := s.newPartial(d, size, bucket)
	file, err := s.createTemp()
	if err != nil {
		return nil, fmt.Errorf("creating a blob: %w", err)
	}
	p.path, p.may = file.Name(), may
	file.Close()
	if err := p.start(); err != nil {
		os.Remove(p.path)
		return nil, fmt.Errorf("creating a blob: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unnamed[p] = struct{}{}
	return p, nil
}

func (s *Store) newPartial(d digest.Digest, size int64, bucket int) *Partial {
	p := &Partial{s: s, bucket: bucket, digest: d, size: max(size, -1), hash: running{hasher: digest.NewHasher()}}
	p.written = sync.NewCond(&p.mu)
	return p
}

// start opens the file and reserves its room.
func (p *Partial) start() error {
	old := blockMap{size: -1}
	if p.keep {
		old = readMap(p.path)
	}
	if p.size >= 0 && (old.size >= 0 && old.size != p.size || old.there.end() > p.size) {
		old = blockMap{} // of a blob of another size
	}
	there := old.there
	n := max(p.size, there.end())
	if err := p.take(n, there.total()); err != nil {
		return p.s.diskFault(err)
	}
	var file *os.File
	err := p.s.makeFile(p.s.partialDir(), func() (err error) {
		file, err = openPartial(p.path, there)
		return err
	})
	if err != nil {
		p.s.unreserve(n, there.total(), p.bucket)
		return err
	}
	p.file, p.there, p.trusted, p.reserved, p.resumed = file, there, old.trusted, n, len(there) > 0
	p.saved = time.Now() // most blobs are complete before a map of them is due
	return nil
}

// openPartial opens a partial file in which only the bytes there count.
func openPartial(path string, there spans) (*os.File, error) {
	if len(there) == 0 {
		// A map that is no longer true must not be found after a crash.
		if err := removePartial(path); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	// What lies beyond must not become the tail of a shorter blob.
	if err := file.Truncate(there.end()); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Resumed reports whether there were bytes from an earlier attempt at the
// start. If so, ErrMismatch may be the fault of those, of a power cut even,
// rather than of the source of the rest.
func (p *Partial) Resumed() bool { return p.resumed }

// Size returns the size of the blob, or -1 while it is unknown.
func (p *Partial) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// SetSize sets the size, once it is known, and reserves the room for it. It
// cannot change any more, nor be less than what is written; the other errors
// are ErrNoSpace and fs.ErrClosed.
func (p *Partial) SetSize(n int64) error {
	p.life.RLock()
	defer p.life.RUnlock()
	if p.ended {
		return fmt.Errorf("setting the size of a blob: %w", fs.ErrClosed)
	}
	if err := p.fixSize(n); err != nil {
		return err
	}
	return p.s.diskFault(p.reserve(n))
}

func (p *Partial) fixSize(n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.there.end()
	for _, r := range p.writing {
		end = max(end, r.End)
	}
	switch {
	case n < 0, p.size >= 0 && p.size != n:
		return fmt.Errorf("blob of %d bytes cannot become one of %d", p.size, n)
	case end > n:
		return fmt.Errorf("blob of %d bytes: %d are written", n, end)
	}
	p.size = n
	return nil
}

// reserve sees to it that end bytes are reserved.
func (p *Partial) reserve(end int64) error {
	p.grow.Lock()
	defer p.grow.Unlock()
	p.mu.Lock()
	more := end - p.reserved
	p.mu.Unlock()
	if more <= 0 {
		return nil
	}
	if err := p.take(more, 0); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved += more
	return nil
}

// WriteAt writes b at off, but for the bytes that are there already. Its
// errors are ErrNoSpace when quota or disk are full, ErrDisk when it fails, one for writing past the
// size, and fs.ErrClosed.
func (p *Partial) WriteAt(b []byte, off int64) (int, error) {
	if _, err := p.Fill(b, off); err != nil {
		return int(min(p.Available(off), int64(len(b)))), err
	}
	return len(b), nil
}

// Fill is WriteAt, and returns what it wrote: the bytes that were missing.
func (p *Partial) Fill(b []byte, off int64) (written []Range, err error) {
	p.life.RLock()
	defer p.life.RUnlock()
	end := off + int64(len(b))
	if err := p.prepare(off, end); err != nil {
		return nil, err
	}
	p.begin(off, end)
	written, err = p.fillHoles(b, off)
	p.finish(off, end)
	if err != nil {
		return written, err
	}
	p.saveSometimes()
	return written, nil
}

// prepare checks that [off, end) may be written, and reserves the room. Caller
// holds life.
func (p *Partial) prepare(off, end int64) error {
	if p.ended {
		return fmt.Errorf("writing a blob: %w", fs.ErrClosed)
	}
	if size := p.Size(); off < 0 || size >= 0 && end > size {
		return fmt.Errorf("writing [%d, %d) of a blob of %d bytes", off, end, size)
	}
	return p.s.diskFault(p.reserve(end))
}

// begin waits until no other call changes bytes in [off, end), and keeps others
// out until finish.
func (p *Partial) begin(off, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for slices.ContainsFunc(p.writing, func(r Range) bool { return r.Off < end && off < r.End }) {
		p.written.Wait()
	}
	p.writing = append(p.writing, Range{off, end})
}

func (p *Partial) finish(off, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.writing, Range{off, end})
	p.writing = slices.Delete(p.writing, i, i+1)
	p.written.Broadcast()
}

// fillHoles writes what is missing of b at off, and returns which bytes that was.
// Caller has begun that range.
func (p *Partial) fillHoles(b []byte, off int64) ([]Range, error) {
	p.mu.Lock()
	holes := p.there.missing(off, off+int64(len(b)))
	p.mu.Unlock()
	for i, hole := range holes {
		if _, err := p.fill(b[hole.Off-off:hole.End-off], hole.Off); err != nil {
			return holes[:i], fmt.Errorf("writing a blob at %d: %w", hole.Off, p.s.diskFault(err))
		}
	}
	return holes, nil
}

// fill writes b into the hole at off, and hashes it if all bytes before are hashed.
func (p *Partial) fill(b []byte, off int64) (int, error) {
	if err := p.s.mayWrite(len(b)); err != nil {
		return 0, err
	}
	n, err := p.file.WriteAt(b, off)
	p.s.wrote(int64(n))
	p.ahead.wrote(p.file, n)
	p.mu.Lock()
	p.there.add(off, off+int64(n))
	p.unsaved += int64(n)
	p.mu.Unlock()
	p.advance(b[:n], off)
	return n, err
}

// wrote counts n reserved bytes as written, fewer than none as missing again.
func (s *Store) wrote(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.unwritten -= n
}

const (
	saveEvery = time.Second
	saveBytes = 4 << 20
)

// saveSometimes writes the map file when it is a second or 4 MiB behind. That
// it fails costs no more than fetching some bytes again after a restart.
func (p *Partial) saveSometimes() {
	if !p.keep || !p.saving.TryLock() {
		return
	}
	defer p.saving.Unlock()
	p.mu.Lock()
	if p.unsaved < saveBytes && time.Since(p.saved) < saveEvery {
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.save()
}

// save writes the map file. Caller holds saving.
func (p *Partial) save() {
	p.mu.Lock()
	m := p.blockMap()
	p.unsaved, p.saved = 0, time.Now()
	p.mu.Unlock()
	if err := writeMap(p.path, m); err != nil {
		p.s.log.Warn("map of a partial file not written", "err", err)
	}
}

// blockMap returns what is there now. Caller holds mu.
func (p *Partial) blockMap() blockMap {
	return blockMap{p.size, slices.Clone(p.there), slices.Clone(p.trusted)}
}
