package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/party"
	"millpond/internal/store"
)

const (
	// maxAttempts bounds how often wrong bytes of a file are got again.
	maxAttempts = 8
	// maxFailures is how often in a row a source may fail without having sent
	// at least progress bytes.
	maxFailures = 3
	progress    = 64 << 10
)

var (
	errWrongSize = errors.New("the file has another size than its index says")
	errNoRange   = errors.New("the answer to a range request starts elsewhere")
	// errSoleSource: the attempt was restricted to one source and it failed;
	// the next attempt begins anew.
	errSoleSource = errors.New("the only source of this attempt failed")
)

// newContentFlight returns the flight that fetches r's digest. f.mu is held.
func (f *Fetcher) newContentFlight(r Request) *flight {
	fl := f.newFlight(keyOf(r), r.Entry)
	fl.client, fl.via = r.Party, r.Via
	fl.log = fl.log.With("digest", r.Digest.Short())
	fl.willLearn(r.Entry)
	return fl
}

// downloadContent fetches a digest: attempt after attempt until the whole is
// right, without the sources that sent wrong bytes.
func (fl *flight) downloadContent(ctx context.Context) error {
	if fl.f.holdsFor(fl.request()) {
		return errHeld
	}
	if fl.crowded {
		fl.passThrough(nil, errManyLogins)
		return nil
	}
	defer fl.announce(false)
	defer fl.endLookup()
	defer fl.startKeepAlive(ctx)()
	d := download{fl: fl, tallies: make(map[string]*tally)}
	for range maxAttempts {
		part, err := fl.openPart()
		if store.Unkept(err) {
			fl.passThrough(nil, err)
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return errHeld
		}
		if err != nil {
			return fmt.Errorf("opening a partial file: %w", err)
		}
		err = d.attempt(ctx, part)
		if !errors.Is(err, store.ErrMismatch) && !errors.Is(err, errSoleSource) {
			return err
		}
		fl.restart()
		if d.wrong >= maxAttempts {
			break
		}
	}
	return ErrWrongBytes
}

// openPart opens the file to download into. What a login brings is kept apart
// until it is whole, and so is another copy of a blob that not everybody may
// have, or that is being downloaded with another size. Nothing is evicted for what
// no client of this box wants, but what it replaces.
func (fl *flight) openPart() (*store.Partial, error) {
	f, d := fl.f, fl.key.digest
	share := f.store.For(fl.party())
	open, create := share.Partial, share.CreateFor
	switch {
	case fl.forPeer():
		open = f.store.PartialInFreeRoom
	case fl.isEarly():
		open = fl.replacing(share.PartialReplacing)
		create = fl.replacing(share.CreateReplacing)
	}
	if fl.key.login == "" {
		part, err := open(d, fl.entry.Size)
		if errors.Is(err, store.ErrBusy) { // of another size, as others have it
			return create(d, fl.entry.Size)
		}
		if info, e := f.store.Stat(d); !errors.Is(err, fs.ErrExist) || e != nil || !access.Private(info) {
			return part, err
		}
	}
	if fl.forPeer() {
		return nil, store.ErrNoSpace
	}
	return create(d, fl.entry.Size)
}

// download is the state of a content flight's attempts. It belongs to the
// flight's goroutine; while that waits for package pieces, to Failed of one
// source at a time.
type download struct {
	fl      *flight
	tallies map[string]*tally // by source
	// solo: a file put together from several sources was wrong, and which of
	// them sent wrong bytes is not known; from now on each attempt has one
	// source.
	solo      bool
	manifests *pieces.Manifests // of a file that came in pieces; nil before
	wrong     int               // how often the whole was
	busy      []string          // mirrors that are overloaded or do not answer, by mirrorSource.server
	rival     time.Time         // when a source was last asked beside a slow one
	lost      time.Duration     // for which sources of pieces were silent
}

// tally is what a source did in this flight.
type tally struct {
	source    source
	failures  int
	led       bool    // it redirected to other hosts, and perhaps only one of them is wrong
	cached    bool    // a cache on the way to it answered, and may be what is wrong
	out       bool    // never asked again
	penalized bool    // for wrong bytes
	silent    *silent // it is, or was when it was asked last; nil if not
	stalled   bool    // that it was silent is reported
	err       error
	inPart    inPart
}

// inPart is what a source did in the current part.
type inPart struct {
	unverified bool // some of its bytes it could not have verified itself
	joined     bool // it is a mirror, and broke off: its next answer is joined to that one
	doubted    bool // it is not asked again, as it was wrong or the mirror beside it
}

// tallyOf returns what is known of s, from now on under s's name.
func (d *download) tallyOf(s source) *tally {
	t := d.tallies[s.String()]
	if t == nil {
		t = &tally{source: s}
		d.tallies[s.String()] = t
	}
	return t
}

// attempt fills part and commits it.
func (d *download) attempt(ctx context.Context, part *store.Partial) error {
	for _, t := range d.tallies {
		t.out = t.out && !t.inPart.doubted
		t.inPart = inPart{}
	}
	d.fl.begin(part)
	if d.manifests != nil {
		d.manifests.Restart()
	}
	doubtful := part.Resumed() // bytes of an earlier process may have been torn by a power cut
	for {
		err := d.take(ctx, part)
		if err == nil {
			err = d.commit(part)
		}
		switch {
		case store.Unkept(err):
			d.fl.passThrough(part, err)
			return nil
		case !errors.Is(err, store.ErrMismatch):
			return err
		}
		again := false
		if d.wrong++; d.wrong < maxAttempts {
			again = d.repair(ctx, part, &doubtful)
		}
		if !again {
			return errors.Join(err, part.Discard())
		}
	}
}

// commit makes part, which is complete, a blob.
func (d *download) commit(part *store.Partial) error {
	info, err := d.fl.commit(part)
	if errors.Is(err, store.ErrMismatch) {
		return err
	}
	if err != nil { // that it is not kept is no client's trouble
		d.fl.passThrough(part, err)
		return nil
	}
	d.fl.landed(info)
	d.reportRight()
	d.checkVotes()
	return nil
}

// take gets what is missing in part. Swarm and catalog are asked who has the
// file once before the first byte, and once for each later round.
func (d *download) take(ctx context.Context, part *store.Partial) error {
	if len(part.Missing()) == 0 {
		return nil // all there from before
	}
	c := d.fl.candidates()
	gathered, err := d.gather(ctx, part, c)
	if err != nil || len(part.Missing()) == 0 {
		return err
	}
	if gathered { // it took a while
		c = d.fl.candidates()
	}
	return d.fill(ctx, part, c)
}

// party is whose content the file is, if no signed Release lists it by now.
func (fl *flight) party() string {
	if fl.entry.Kind == catalog.Content && fl.f.catalog.Vouch(fl.entry).Signed {
		return ""
	}
	return party.Of(fl.entry.Location.Host)
}

// about is what to keep beside the file.
func (fl *flight) about() store.Meta {
	name, owner := fl.f.fileName(fl.entry.Location, fl.key.digest), fl.party()
	fl.mu.Lock()
	defer fl.mu.Unlock()
	m := store.Meta{Modified: fl.modified, Name: name, From: fl.from(), Party: owner}
	if fl.key.login != "" {
		m.Private = fl.f.access.Place(fl.entry.Location)
	}
	return m
}

// fileName is the name of the file at l, which has digest d. A by-hash name
// says nothing that d does not: there the catalog has a better one.
func (f *Fetcher) fileName(l catalog.Location, d digest.Digest) string {
	if strings.Contains(l.Path, "/by-hash/") {
		if e, ok := f.catalog.Describe(d); ok {
			return e.Location.Name()
		}
	}
	return l.Name()
}

// fill gets the missing bytes from one source after the other, each going on
// where the last one stopped, until all are there or no source is left. A
// source skips one round per failure so far. The first round asks c.
func (d *download) fill(ctx context.Context, part *store.Partial, c candidates) error {
	var answer error // the most telling failure
	if d.prefersMirror(c.mirrors) {
		d.askPeersLater(c.peers)
	}
	for nth := 0; ; nth++ {
		r, err := d.askAll(ctx, part, c, nth)
		if r.done {
			return err
		}
		answer = moreTelling(answer, err)
		switch {
		case r.asked == 0 && r.restricted > 0:
			if err := part.Discard(); err != nil {
				return err
			}
			return errSoleSource
		case r.asked == 0 && r.later == 0:
			return d.verdict(answer)
		}
		if r.again || r.later > 0 { // otherwise only what was found meanwhile is left to ask
			if err := pieces.Pause(ctx); err != nil {
				return err
			}
		}
		c = d.fl.candidates()
	}
}

// round is the result of asking all sources once.
type round struct {
	done       bool
	asked      int
	restricted int  // not asked, since another's bytes are in the part
	later      int  // not asked this time
	again      bool // one that failed may be asked again
}

// hasten returns s, with less patience in the first round if it is a mirror and
// another server can be asked. Another name of the file at the same one would take
// as long.
func (d *download) hasten(s source, c candidates, nth int) source {
	m, ok := s.(mirrorSource)
	if !ok {
		return s
	}
	other := func(o mirrorSource) bool { return o.server() != m.server() }
	if nth == 0 && slices.ContainsFunc(c.mirrors, other) {
		m.request.Patience = mirror.Patience
	}
	m.request.Failover = m.request.Failover && nth == 0 && d.hasOther(m, c)
	return m
}

// hasOther reports whether another mirror of m's archive may be asked.
func (d *download) hasOther(m mirrorSource, c candidates) bool {
	return slices.ContainsFunc(c.mirrors, func(o mirrorSource) bool { return o.request.Mirror != m.request.Mirror && !d.tallyOf(o).out })
}

// isBusy reports whether s is one of the busy mirrors.
func (d *download) isBusy(s source) bool {
	m, ok := s.(mirrorSource)
	return ok && slices.Contains(d.busy, m.server())
}

// othersUsed reports whether bytes of another source are in the part. A peer may go on
// where a mirror stopped.
func (d *download) othersUsed(s source) bool {
	for name := range d.fl.senders() {
		t := d.tallies[name]
		isMirror := t == nil || t.source.Origin() == ledger.FromMirror
		if name != s.String() && !(isMirror && s.Origin() == ledger.FromPeer) {
			return true
		}
	}
	return false
}

// errEvicted says that a file does not stay in the store until it is opened.
var errEvicted = fmt.Errorf("%w: the file was evicted again and again before it could be read (MILLPOND_CACHE_SIZE)", store.ErrNoSpace)
