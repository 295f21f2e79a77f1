package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

const (
	// maxAttempts bounds how often a file begins anew after wrong bytes.
	maxAttempts = 8
	// maxProviders bounds how many places are tried for one file.
	maxProviders = 32
	// maxFailures is how often in a row a provider may fail without having
	// sent at least progress bytes.
	maxFailures = 3
	progress    = 64 << 10
	// chunk is how much is read at once. The figure is where larger ones
	// stop saving system calls.
	chunk = 128 << 10
)

var (
	errNoProvider = errors.New("no source offers this file")
	errWrongSize  = errors.New("the file has another size than its index says")
	errNoRange    = errors.New("the answer to a range request starts elsewhere")
	// errAlone: the provider that an attempt was left to gave up; the next
	// one begins anew.
	errAlone = errors.New("the only source of this attempt failed")
)

// newContentFlight returns the flight that fetches e's digest.
func (f *Fetcher) newContentFlight(e catalog.Entry) *flight {
	fl := f.newFlight(flightKey{digest: e.Digest}, e)
	fl.log = fl.log.With("digest", e.Digest.Short())
	fl.download = fl.downloadContent
	if e.Index {
		f.learnFlight(fl)
	}
	return fl
}

// downloadContent fetches a digest: attempt after attempt until the whole is
// right, without the sources that sent wrong bytes.
func (fl *flight) downloadContent(ctx context.Context) error {
	if _, err := fl.f.Store.Stat(fl.key.digest); err == nil {
		return errAgain
	}
	defer fl.announce(false)
	d := download{flight: fl, tally: make(map[string]*tally)}
	for range maxAttempts {
		part, err := fl.f.Store.Partial(fl.key.digest, fl.entry.Size)
		if errors.Is(err, store.ErrNoSpace) {
			fl.log.Warn("no room for a file, it passes through unkept", "err", err)
			fl.divert(nil)
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return errAgain
		}
		if err != nil {
			return fmt.Errorf("opening a partial file: %w", err)
		}
		err = d.attempt(ctx, part)
		if !errors.Is(err, store.ErrMismatch) && !errors.Is(err, errAlone) && !errors.Is(err, errAnew) {
			return err
		}
		fl.restart()
	}
	return ErrWrongBytes
}

// download is the state of a content flight's attempts.
type download struct {
	*flight
	tally map[string]*tally // by provider
	// solo: a file put together from several providers was wrong, and nobody
	// can tell whose bytes were; from now on each attempt has one provider.
	solo bool
	// suspects are the pieces of attempts in pieces, in case they are wrong.
	suspects [][]gotten
}

// tally is what a provider did in this flight.
type tally struct {
	provider Provider
	failures int
	used     bool // its bytes are in the current part
	out      bool // never asked again
	err      error
}

// tallyOf returns what is known of p, from now on under p's name.
func (d *download) tallyOf(p Provider) *tally {
	t := d.tally[p.String()]
	if t == nil {
		t = &tally{provider: p}
		d.tally[p.String()] = t
	}
	return t
}

// attempt fills part and commits it.
func (d *download) attempt(ctx context.Context, part *store.Partial) error {
	for _, t := range d.tally {
		t.used = false
	}
	d.begin(part)
	err := d.gather(ctx, part)
	if err == nil {
		err = d.fill(ctx, part)
	}
	if errors.Is(err, store.ErrNoSpace) {
		d.log.Warn("the store is full, a file passes through unkept", "err", err)
		d.divert(part)
		return nil
	}
	if err != nil {
		return err
	}
	resumed := part.Resumed()
	info, err := part.Commit(d.when())
	if errors.Is(err, store.ErrMismatch) {
		d.blame(resumed)
		return err
	}
	if errors.Is(err, store.ErrNoSpace) {
		d.divert(part)
		return nil
	}
	if err != nil {
		return fmt.Errorf("keeping a downloaded file: %w", err)
	}
	d.landed(info)
	if d.solo {
		d.settle()
	}
	return nil
}

// when is the modification time to keep the file under.
func (fl *flight) when() time.Time {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.modified.IsZero() {
		return time.Now()
	}
	return fl.modified
}

// providers yields all places to ask, in the order of the sources. A file
// without a digest has one.
func (fl *flight) providers(ctx context.Context) iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		if fl.key.digest.IsZero() {
			yield(upstreamFile{client: fl.f.Mirror, url: fl.key.url})
			return
		}
		n := 0
		for _, s := range fl.f.Sources {
			for p := range s.Find(ctx, fl.entry) {
				if n++; n > maxProviders || !yield(p) {
					return
				}
			}
		}
	}
}

// fill gets the missing bytes from one provider after the other, each going
// on where the last one stopped, until all are there or nobody is left.
func (d *download) fill(ctx context.Context, part *store.Partial) error {
	var answer error // the most telling failure
	for {
		asked, skipped := 0, 0
		for p := range d.providers(ctx) {
			t := d.tallyOf(p)
			if t.out {
				continue
			}
			if d.solo && d.othersUsed(p) {
				skipped++
				continue
			}
			asked++
			before := part.Available(0)
			err := d.stream(ctx, part, p, t)
			if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrNoSpace) {
				return err
			}
			d.failed(p, t, err, part.Available(0)-before)
			answer = telling(answer, err)
		}
		if asked == 0 && skipped > 0 {
			if err := part.Discard(); err != nil {
				return err
			}
			return errAlone
		}
		if asked == 0 {
			return d.verdict(answer)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// othersUsed reports whether bytes of another provider are in the part.
func (d *download) othersUsed(p Provider) bool {
	for name, t := range d.tally {
		if t.used && name != p.String() {
			return true
		}
	}
	return false
}

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
	t.used = true
	n, err = d.receive(part, s, hole, p)
	p.Report(Outcome{Bytes: n, Took: time.Since(begun)})
	return err
}

// announce tells the neighbours that this box downloads the file from the
// mirror, so that they take it from here, or that it no longer does.
func (fl *flight) announce(on bool) {
	peers := fl.f.Peers
	if peers != nil && fl.entry.Signed && fl.announced.Swap(on) != on {
		peers.Announce(fl.key.digest, on)
	}
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
			fl.grew(off, off+int64(n), p.Origin())
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

// pause waits a moment before sources are asked once more, each flight
// another while, so that they do not all come back at once.
func pause(ctx context.Context) error {
	t := time.NewTimer(200*time.Millisecond + rand.N(300*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gone is the error for a blob that was evicted between being fetched and
// being opened, twice.
func (f *Fetcher) gone(d digest.Digest) error {
	return fmt.Errorf("blob %s was evicted before it could be served: the store is too small (MILLPOND_CACHE_SIZE)", d.Short())
}
