package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// passthrough is what becomes of a flight when the store cannot keep its file,
// mostly for lack of room, or others of many logins do: each client goes on with a stream of its own, past
// the disk. The mirror then sends the rest once per client; there is nowhere
// to keep it. Peers send only files that are held back as a whole: there is nowhere to
// verify larger ones before they are given out.
type passthrough struct {
	why    error
	hasher *digest.Hasher // has seen the bytes before at; nil if more were hashed
	at     int64
	size   int64 // of the file; -1 if it is not known
}

// passThrough sends the flight's clients past the disk, for the reason why, and
// frees its room.
func (fl *flight) passThrough(part *store.Partial, why error) {
	switch {
	case errors.Is(why, errManyLogins), (fl.forPeer() || fl.isEarly()) && errors.Is(why, store.ErrNoSpace):
		fl.log.Debug("file served without keeping it", "err", why)
	case errors.Is(why, store.ErrNoSpace):
		fl.log.Warn("store full, file served without keeping it", "failure", "unkept", "err", why)
	default:
		fl.log.Error("store failed, file served without keeping it", "failure", "unkept", "err", why)
	}
	p := &passthrough{why: why, hasher: digest.NewHasher(), size: fl.entry.Size}
	if part != nil {
		p.hasher, p.at = part.Hasher()
		p.size = part.Size()
		if n := part.Trusted(0); n < p.at {
			p.hasher, p.at = nil, n
		}
	}
	fl.f.stats.diverted.Add(1)
	fl.mu.Lock()
	fl.passthrough = p
	fl.changed.Fire()
	fl.mu.Unlock()
	if part != nil {
		part.Discard() // bodies read on what was there
	}
}

// unkept gets content past the disk, for one client: the store is too small for it to
// stay there until it is opened.
func (f *Fetcher) unkept(ctx context.Context, r Request) (*File, error) {
	fl := f.newFlight(keyOf(r), r.Entry)
	fl.client, fl.via = r.Party, r.Via
	fl.places, fl.over = []place{f.placeOf(r)}, true // nothing downloads but the client
	fl.enter()
	fl.passThrough(nil, errEvicted)
	return fl.open(ctx)
}

// follow returns a stream for b that continues where the disk ended. What came
// before is in file, which is nil if nothing did.
func (p *passthrough) follow(b *body, file *store.PartialReader) *ownStream {
	o := &ownStream{fl: b.fl, at: p.at, ctx: b.ctx, size: p.size, skipTo: b.off.Load(), hasher: digest.NewHasher()}
	if file == nil {
		return o
	}
	if _, err := file.ReadAt(nil, 0); err != nil {
		return o // it could not be opened
	}
	o.head, o.headEnd = file, p.at
	if p.hasher != nil && o.skipTo >= p.at {
		o.headEnd = 0
		o.hasher, o.pos = p.hasher.Clone(), p.at
	}
	return o
}

// ownStream reads a file from its sources for one client, hashing as it goes
// and holding the last part back until the digest is right.
type ownStream struct {
	fl     *flight
	at     int64 // where the disk ended
	size   int64 // -1 if it is not known
	ctx    context.Context
	hasher *digest.Hasher
	pos    int64 // bytes hashed, all of them from the beginning on
	skipTo int64 // bytes before this are not wanted
	origin ledger.Origin

	// What of the file was on disk, up to headEnd.
	head    *store.PartialReader
	headEnd int64

	from    *peer.Stream
	by      []source // of the streams so far
	pending []byte   // hashed, not given out; at most holdback and a chunk
	whole   bool     // pending is verified
}

// ownTries is how often a client's own stream is taken up again.
const ownTries = 8

// Read implements io.Reader.
func (o *ownStream) Read(p []byte) (int, error) {
	for {
		if n := o.ready(); n > 0 {
			n = copy(p, o.pending[:n])
			o.pending = append(o.pending[:0], o.pending[n:]...)
			return n, nil
		}
		if o.whole {
			return 0, io.EOF
		}
		if err := o.fill(); err != nil {
			return 0, err
		}
	}
}

// ready returns how many pending bytes may leave.
func (o *ownStream) ready() int {
	if o.whole || !o.fl.checkable() {
		return len(o.pending)
	}
	return max(len(o.pending)-holdback, 0)
}

// fill hashes one more chunk, or finds the end and checks the digest.
func (o *ownStream) fill() error {
	buf := make([]byte, 32<<10)
	n, err := o.next(buf)
	if n > 0 {
		chunk := buf[:n]
		o.hasher.Write(chunk)
		if skip := o.skipTo - o.pos; skip > 0 {
			chunk = chunk[min(skip, int64(n)):]
		}
		o.pos += int64(n)
		o.pending = append(o.pending, chunk...)
	}
	switch {
	case errors.Is(err, io.EOF):
		if o.fl.checkable() && !o.fl.matches(o.hasher.Digest()) {
			o.fl.f.stats.wrong.Add(1)
			if len(o.by) == 1 && o.at == 0 { // it sent all of it
				o.by[0].Report(peer.Outcome{Fault: peer.Lied, Why: "sent bytes that do not match the digest"})
			}
			return fmt.Errorf("%w (past the full disk)", ErrWrongBytes)
		}
		o.whole = true
		return nil
	default:
		return err
	}
}

// next reads the following bytes of the file from disk or from a source.
func (o *ownStream) next(buf []byte) (int, error) {
	if o.pos < o.headEnd {
		o.origin = ledger.FromStore
		return o.head.ReadAt(buf[:min(int64(len(buf)), o.headEnd-o.pos)], o.pos)
	}
	if o.size >= 0 && o.pos >= o.size {
		return 0, io.EOF
	}
	if o.from == nil {
		if err := o.connect(); err != nil {
			return 0, err
		}
	}
	n, err := o.from.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) && o.resumable() {
		o.Close() // another stream takes it up
		err = nil
	}
	return n, err
}

// resumable reports whether the rest may come from another stream. Without a
// digest nothing would show that it belongs to the same file.
func (o *ownStream) resumable() bool {
	return len(o.by) < ownTries && o.ctx.Err() == nil && o.fl.checkable()
}

// connect opens the file at pos with the first source that has it.
func (o *ownStream) connect() error {
	var told error
	for src := range o.sources() {
		s, err := o.openAt(src)
		if err != nil {
			told = moreTelling(told, toldOf(src, err))
			continue
		}
		o.from, o.origin, o.by = s, src.Origin(), append(o.by, src)
		return nil
	}
	return cmp.Or(told, ErrNoSource)
}

// sources are those of the flight, but for peers where the file would be given out
// before it is verified.
func (o *ownStream) sources() iter.Seq[source] {
	c := o.fl.candidates()
	if o.size >= 0 && o.size <= holdback {
		return o.fl.sources(o.ctx, c, false)
	}
	return func(yield func(source) bool) {
		for _, m := range c.mirrors {
			if !yield(m) {
				return
			}
		}
	}
}

// openAt opens the file at pos. Without a digest nothing would show that the rest
// belongs to what was read before: there it is opened from the beginning on.
func (o *ownStream) openAt(src source) (*peer.Stream, error) {
	from := o.pos
	if !o.fl.checkable() {
		from = 0
	}
	s, err := src.Open(o.ctx, from, 0)
	if err != nil {
		return nil, err
	}
	if from < o.pos && s.Off == 0 {
		err = same(s, o.hasher, o.pos)
	} else {
		err = skip(s, o.pos)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the stream; what was on disk stays the body's.
func (o *ownStream) Close() error {
	if o.from == nil {
		return nil
	}
	err := o.from.Close()
	o.from = nil
	return err
}
