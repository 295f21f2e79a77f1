package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

const (
	// maxAttempts bounds how often a file begins anew after wrong bytes.
	maxAttempts = 8
	// maxFailures is how often in a row a provider may fail without having
	// sent at least progress bytes.
	maxFailures = 3
	progress    = 64 << 10
)

var (
	errNoProvider = errors.New("no source offers this file")
	errWrongSize  = errors.New("the file has another size than its index says")
	errNoRange    = errors.New("the answer to a range request starts elsewhere")
	// errAlone: the provider that an attempt was left to gave up; the next
	// one begins anew.
	errAlone = errors.New("the only source of this attempt failed")
)

// newContentFlight returns the flight that fetches e's digest. f.mu is held.
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
	defer fl.endLookup()
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
	// manifest is what two boxes agree the digests of the pieces are.
	manifest []digest.Digest
	claims   []claim
}

// tally is what a provider did in this flight.
type tally struct {
	provider Provider
	failures int
	used     bool // its bytes are in the current part
	hearsay  bool // and some of them it could not have verified itself
	out      bool // never asked again
	err      error

	convicted bool // of wrong bytes, and reported
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
		t.used, t.hearsay = false, false
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
	info, err := part.Commit(d.about())
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
	d.settle()
	return nil
}

// about is what to keep beside the file.
func (fl *flight) about() store.Meta {
	name := fl.f.fileName(fl.entry.Location, fl.key.digest)
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return store.Meta{Modified: fl.modified, Name: name, From: fl.from}
}

// fileName is the name of the file at l, which has digest d. A by-hash name
// says nothing that d does not: there the catalog has a better one.
func (f *Fetcher) fileName(l catalog.Location, d digest.Digest) string {
	if strings.Contains(l.Path, "/by-hash/") {
		if e, ok := f.Catalog.Describe(d); ok {
			return e.Location.Name()
		}
	}
	return l.Name()
}

// providers yields all places to ask, in the order of the sources. A file
// without a digest has one.
func (fl *flight) providers(ctx context.Context) iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		if fl.key.digest.IsZero() {
			yield(upstreamFile{client: fl.f.Mirror, Location: fl.entry.Location})
			return
		}
		for p := range fl.peers(ctx) {
			if !yield(p) {
				return
			}
		}
		for _, s := range fl.f.Sources {
			for p := range s.Find(ctx, fl.entry) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// fill gets the missing bytes from one provider after the other, each going
// on where the last one stopped, until all are there or nobody is left. Who
// has failed sits out a round for each time.
func (d *download) fill(ctx context.Context, part *store.Partial) error {
	if _, ok := firstHole(part); !ok {
		return nil // gathered, or all there from before
	}
	var answer error // the most telling failure
	for nth := 0; ; nth++ {
		r, err := d.askAll(ctx, part, nth)
		if r.done {
			return err
		}
		answer = telling(answer, err)
		switch {
		case r.asked == 0 && r.alone > 0:
			if err := part.Discard(); err != nil {
				return err
			}
			return errAlone
		case r.asked == 0 && r.later == 0:
			return d.verdict(answer)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// round is what became of asking all providers once.
type round struct {
	done  bool
	asked int
	alone int // not asked, since another's bytes are in the part
	later int // not asked this time
}

// askAll asks each provider for what is missing, until one has sent it all.
func (d *download) askAll(ctx context.Context, part *store.Partial, nth int) (r round, answer error) {
	kept := false // a peer has kept the client waiting: the mirror is next
	for p := range d.providers(ctx) {
		t := d.tallyOf(p)
		switch {
		case t.out:
			continue
		case d.solo && d.othersUsed(p):
			r.alone++
			continue
		case p.Origin() == ledger.FromPeer && (kept || t.failures > nth):
			r.later++
			continue
		}
		r.asked++
		before := part.Available(0)
		err := d.stream(ctx, part, p, t)
		if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrNoSpace) {
			return round{done: true}, err
		}
		kept = kept || errors.Is(err, errSlow)
		d.failed(p, t, err, part.Available(0)-before)
		answer = telling(answer, err)
	}
	return r, answer
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
