package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// chunk is how much is read at once, in bytes. Larger ones no longer save
// system calls.
const chunk = 128 << 10

// stream takes from e's source what is missing in part, hole by hole.
func (d *download) stream(ctx context.Context, part *store.Partial, e *runner) error {
	if e.source.Origin() == ledger.FromMirror {
		d.fl.announce(true)
	}
	for {
		hole, ok := d.fl.nextHole(part)
		if !ok {
			return nil
		}
		if err := d.streamHole(ctx, part, hole, e); err != nil {
			return err
		}
	}
}

// nextHole returns what is missing first, or for peers from where they read on: they may
// have most of the file. End is -1 while the size is not known.
func (fl *flight) nextHole(part *store.Partial) (hole store.Range, ok bool) {
	missing := part.Missing()
	if len(missing) == 0 {
		return store.Range{}, false
	}
	if !fl.forPeer() {
		return missing[0], true
	}
	at := fl.position()
	for _, hole := range missing {
		if at < hole.End {
			hole.Off = max(hole.Off, at)
			return hole, true
		}
	}
	return missing[0], true
}

// streamHole fills one hole with a stream from e's source.
func (d *download) streamHole(ctx context.Context, part *store.Partial, hole store.Range, e *runner) error {
	src, t := e.source, e.tally
	begun, before := time.Now(), e.gauge.read().waited
	s, err := e.open(ctx, part.Size(), hole)
	if err != nil {
		return err
	}
	defer s.Close()
	from := &gauged{ReadCloser: s.ReadCloser, gauge: &e.gauge, load: &d.fl.f.load, first: -1}
	s.ReadCloser = from
	n, err := d.fl.receive(part, s, hole, src)
	if n > 0 {
		// A peer sends a file's last bytes only once it has verified it all.
		verified := verified(src) || hole.Off == 0 && n == part.Size()
		t.inPart.unverified = t.inPart.unverified || !verified
	}
	src.Report(peer.Outcome{Bytes: n, Took: time.Since(begun)})
	d.measure(src, from.first-before, n, e.gauge.read().waited-from.first)
	return err
}

// open requests what is missing at a hole of a part of that size.
func (e *runner) open(ctx context.Context, size int64, hole store.Range) (*peer.Stream, error) {
	n := int64(0) // to the end
	if hole.End >= 0 && hole.End < size {
		n = hole.End - hole.Off
	}
	e.gauge.wait()
	defer e.gauge.stop(0)
	ctx = mirror.AtTurn(ctx, e.gauge.wait) // the wait begins anew then
	s, err := e.source.Open(ctx, hole.Off, n)
	if noRange(err) { // the whole file, then
		s, err = e.source.Open(ctx, 0, 0)
	}
	if err != nil {
		return nil, err
	}
	t := e.tally
	t.led, t.cached = t.led || s.Led, t.cached || s.Cached
	if size >= 0 && s.Size >= 0 && s.Size != size {
		err = fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, s.Size, size)
	} else {
		err = skip(s, hole.Off)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// measure notes the pace of src: its first byte came after first, and n bytes within
// took.
func (d *download) measure(src source, first time.Duration, n int64, took time.Duration) {
	switch f := d.fl.f; {
	case n == 0:
	case src.Origin() == ledger.FromMirror && f.mirror.Limited(): // says nothing about the mirror
	default:
		f.paces.measured(src, first, n, took)
	}
}

// receive writes s into a hole of part, whose End may be -1: not known yet.
// It returns how many bytes came.
func (fl *flight) receive(part *store.Partial, s *peer.Stream, hole store.Range, src source) (got int64, err error) {
	if s.Size >= 0 && part.Size() < 0 {
		if err := part.SetSize(s.Size); err != nil {
			return 0, err
		}
		hole.End = s.Size
	}
	fl.answered(part.Size(), s.Modified)
	buf, proven := make([]byte, chunk), isProven(src)
	for off := hole.Off; hole.End < 0 || off < hole.End; off = hole.Off + got {
		b := buf
		if hole.End >= 0 {
			b = buf[:min(hole.End-off, chunk)]
		}
		n, err := s.Read(b)
		if n > 0 {
			written, err := fl.write(part, b[:n], off, src)
			if err != nil {
				return got, err
			}
			got += int64(n)
			if len(written) > 0 { // no other source was faster
				fl.grew(off, off+int64(n), src)
			}
			if proven {
				for _, r := range written {
					fl.vouched(r.Off, r.End)
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF) && hole.End < 0:
			err := part.SetSize(off + int64(n))
			fl.answered(part.Size(), s.Modified)
			return got, err
		case errors.Is(err, io.EOF) && off+int64(n) < hole.End:
			return got, fmt.Errorf("%s: %w", src, io.ErrUnexpectedEOF)
		case err != nil && !errors.Is(err, io.EOF):
			return got, err
		}
	}
	// If there is more, the digest will not match.
	return got, nil
}
