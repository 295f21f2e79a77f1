package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/store"
)

// chunk is how much is read at once. The figure is where larger ones stop
// saving system calls.
const chunk = 128 << 10

// stream takes from p what is missing in part, hole by hole.
func (d *download) stream(ctx context.Context, part *store.Partial, p Provider, t *tally) error {
	if p.Origin() == ledger.FromMirror {
		d.announce(true)
	}
	for {
		hole, ok := firstHole(part)
		if !ok {
			return nil
		}
		if err := d.streamHole(ctx, part, hole, p, t); err != nil {
			return err
		}
	}
}

// firstHole returns what is missing first; End is -1 while the size is not
// known.
func firstHole(part *store.Partial) (hole store.Range, ok bool) {
	missing := part.Missing()
	if len(missing) == 0 {
		return store.Range{}, false
	}
	return missing[0], true
}

// streamHole fills one hole with a stream from p.
func (d *download) streamHole(ctx context.Context, part *store.Partial, hole store.Range, p Provider, t *tally) error {
	size, n := part.Size(), int64(0) // to the end
	if hole.End >= 0 && hole.End < size {
		n = hole.End - hole.Off
	}
	begun := time.Now()
	s, err := p.Open(ctx, hole.Off, n)
	if err != nil {
		return err
	}
	defer s.Close()
	if size >= 0 && s.Size >= 0 && s.Size != size {
		return fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, s.Size, size)
	}
	if err := s.skip(hole.Off); err != nil {
		return err
	}
	n, err = d.receive(part, s, hole, p)
	if n > 0 {
		t.used = true
		// A box lets go of a file's end only when it has verified it all.
		verified := vouches(p) || hole.Off == 0 && n == part.Size()
		t.hearsay = t.hearsay || !verified
	}
	p.Report(Outcome{Bytes: n, Took: time.Since(begun)})
	return err
}

// vouches reports whether p has verified what it sends: not a box that is
// itself downloading it.
func vouches(p Provider) bool {
	peer, ok := p.(*peerFile)
	return !ok || peer.state == whole
}

// receive writes s into a hole of part, whose End may be -1: not known yet.
// It returns how many bytes came.
func (fl *flight) receive(part *store.Partial, s *Stream, hole store.Range, p Provider) (got int64, err error) {
	if s.Size >= 0 && part.Size() < 0 {
		if err := part.SetSize(s.Size); err != nil {
			return 0, err
		}
		hole.End = s.Size
	}
	fl.answered(part.Size(), s.Modified)
	buf := make([]byte, chunk)
	for off := hole.Off; hole.End < 0 || off < hole.End; off = hole.Off + got {
		b := buf
		if hole.End >= 0 {
			b = buf[:min(hole.End-off, chunk)]
		}
		n, err := s.Read(b)
		if n > 0 {
			if _, err := part.WriteAt(b[:n], off); err != nil {
				return got, err
			}
			got += int64(n)
			fl.grew(off, off+int64(n), p)
		}
		switch {
		case errors.Is(err, io.EOF) && hole.End < 0:
			err := part.SetSize(off + int64(n))
			fl.answered(part.Size(), s.Modified)
			return got, err
		case errors.Is(err, io.EOF) && off+int64(n) < hole.End:
			return got, io.ErrUnexpectedEOF
		case err != nil && !errors.Is(err, io.EOF):
			return got, err
		}
	}
	// Whether more would follow is the digest's to judge.
	return got, nil
}

// skip reads up to off a stream that may start before it, as from a mirror
// that ignores Range.
func (s *Stream) skip(off int64) error {
	if s.Off > off {
		return errNoRange
	}
	_, err := io.CopyN(io.Discard, s, off-s.Off)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
