package fetch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

const (
	// holdback is how much of a file no client gets before the whole digest
	// matches. A file no longer than this is verified before its first byte
	// leaves, so that a lying source costs the client nothing; two packages
	// in three are (apt-p2p's figures: 68 % under 256 kB). More would let a
	// client on a thin line run into apt's limit of 30 s without a byte:
	// this much takes 30 s at 70 kbit/s.
	holdback = 256 << 10

	// linger is how long a download goes on that no client waits for any
	// more. apt drops connections and asks again; past this the mirror's
	// bytes would be taken for nobody. What is there stays for a resume.
	linger = 30 * time.Second
)

// errAgain tells those who joined a flight to look into the store and join
// again: the file turned out to be there, or the flight was being abandoned
// just as they came.
var errAgain = errors.New("look again")

// flightKey is what clients share a flight by: a digest, or the URL of a file
// that has none.
type flightKey struct {
	digest digest.Digest
	url    string
}

// flight is one download, shared. Its goroutine (run) writes; bodies read.
type flight struct {
	f        *Fetcher
	key      flightKey
	entry    catalog.Entry
	log      *slog.Logger
	download func(ctx context.Context) error
	stop     context.CancelFunc
	begun    time.Time

	announced atomic.Bool // to the peers

	mu       sync.Mutex    // guards what follows; taken before the partial's own lock, never after
	changed  chan struct{} // closed and replaced whenever something below changes
	part     *store.Partial
	epoch    int // how often the download began anew after wrong bytes
	size     int64
	modified time.Time
	spans    spans              // whose bytes the file is made of
	from     []store.Provenance // the same by name, without those of an earlier attempt
	credited int64              // bytes below this were read by some client before
	ended    bool
	err      error
	info     store.Info // once ended well
	lookup   *lookup    // of peers, once the DHT was asked
	detour   *detour    // set when the disk has no room: bodies fetch for themselves
	readers  int
	bodies   map[*body]struct{} // that are open
	idle     *time.Timer        // ends an unwanted download

	// Of an unknown file that ended with errAgain; written before that.
	current bool   // the mirror said that what is held is current
	stale   string // or why it could not be asked
}

// newFlight returns a flight that has not begun.
func (f *Fetcher) newFlight(key flightKey, e catalog.Entry) *flight {
	return &flight{
		f: f, key: key, entry: e, size: e.Size, begun: time.Now(),
		log:     f.Log.With("url", e.Location.String()),
		changed: make(chan struct{}), bodies: make(map[*body]struct{}),
	}
}

// newBody returns a reader for a client that was counted in, or, aside, for
// somebody who is none.
func (fl *flight) newBody(ctx context.Context, aside bool) *body {
	b := &body{fl: fl, ctx: ctx, aside: aside}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.bodies[b] = struct{}{}
	return b
}

// position is the first missing byte that some client will read next.
func (fl *flight) position() int64 {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.part == nil {
		return 0
	}
	next := int64(-1)
	for b := range fl.bodies {
		off := b.off.Load()
		if off += fl.part.Available(off); next < 0 || off < next {
			next = off
		}
	}
	if next < 0 {
		return fl.part.Available(0)
	}
	return next
}

// join returns the flight under way for key, or starts the one that make
// gives. The caller must call open.
func (f *Fetcher) join(key flightKey, make func() *flight) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lifetime.Err() != nil {
		return nil, ErrClosed
	}
	fl := f.flights[key]
	if fl == nil {
		fl = make()
		f.flights[key] = fl
		var ctx context.Context
		ctx, fl.stop = context.WithCancel(f.lifetime)
		f.running.Go(func() { fl.run(ctx) })
		f.stats.flights.Add(1)
	} else {
		f.stats.joined.Add(1)
	}
	fl.enter()
	return fl, nil
}

// run downloads and tells everybody how it ended.
func (fl *flight) run(ctx context.Context) {
	defer fl.stop()
	err := fl.download(ctx)
	fl.f.land(fl, err)
	fl.finish(err)
}

// finish tells everybody how the flight ended.
func (fl *flight) finish(err error) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.idle != nil {
		fl.idle.Stop()
	}
	if fl.part != nil {
		fl.part.Close() // keeps an unfinished one for a resume; nothing to do after Commit
	}
	if fl.detour != nil {
		return // bodies carry on by themselves
	}
	if errors.Is(err, context.Canceled) {
		if err = errAgain; fl.f.lifetime.Err() != nil {
			err = ErrClosed
		}
	}
	fl.ended, fl.err = true, err
	fl.broadcast()
}

// broadcast wakes all who wait. fl.mu is held.
func (fl *flight) broadcast() {
	close(fl.changed)
	fl.changed = make(chan struct{})
}

// enter counts a client in.
func (fl *flight) enter() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.readers++
	if fl.idle != nil {
		fl.idle.Stop()
	}
}

// leave counts a client out. The last one starts the clock.
func (fl *flight) leave() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.readers--
	if fl.readers > 0 || fl.ended {
		return
	}
	if fl.idle == nil {
		fl.idle = time.AfterFunc(linger, fl.abandon)
	} else {
		fl.idle.Reset(linger)
	}
}

// abandon stops a download that nobody has wanted for a while.
func (fl *flight) abandon() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.readers == 0 {
		fl.stop()
	}
}

// begin makes part the file that is written from now on. Bytes that part has
// from an earlier attempt count as the store's: the mirror's sending them was
// counted then.
func (fl *flight) begin(part *store.Partial) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.part = part
	fl.spans, fl.from = nil, nil
	if size := part.Size(); size >= 0 {
		end := int64(0)
		for _, hole := range part.Missing() {
			fl.there(end, hole.Off)
			end = hole.End
		}
		fl.there(end, size)
	} else {
		fl.there(0, part.Available(0))
	}
	fl.broadcast()
}

// there records bytes of an earlier attempt. fl.mu is held.
func (fl *flight) there(off, end int64) {
	if end > off {
		fl.spans.add(span{off, end, ledger.FromStore})
	}
}

// restart forgets the wrong bytes of the current part. Clients that have read
// some are cut short by their body; the others never know.
func (fl *flight) restart() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.epoch++
	fl.part, fl.spans, fl.from, fl.credited = nil, nil, nil, 0
	fl.size = fl.entry.Size
	fl.broadcast()
}

// answered records what the first answering provider said of the file.
func (fl *flight) answered(size int64, modified time.Time) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if size >= 0 {
		fl.size = size
	}
	if fl.modified.IsZero() {
		fl.modified = modified
	}
	fl.broadcast()
}

// grew records that bytes came in from p.
func (fl *flight) grew(off, end int64, p Provider) {
	source := p.Source()
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.spans.add(span{off, end, p.Origin()})
	if !slices.Contains(fl.from, source) {
		fl.from = append(fl.from, source)
	}
	fl.broadcast()
}

// announce tells the neighbours that there is something to be had here of a
// file on its way, from the mirror or in pieces, or no longer.
func (fl *flight) announce(on bool) {
	peers := fl.f.Peers
	if peers != nil && fl.entry.Signed && fl.announced.Swap(on) != on {
		peers.Announce(fl.key.digest, on)
	}
}

// landed records the committed blob.
func (fl *flight) landed(info store.Info) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.info, fl.size, fl.modified = info, info.Size, info.Modified
}

// open waits until bytes can be read, or the flight's end, and returns a file
// that reads it. The caller was counted in by join.
func (fl *flight) open(ctx context.Context) (*File, error) {
	b := fl.newBody(ctx, false)
	if err := b.await(); err != nil {
		b.Close()
		return nil, err
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	file := &File{Digest: fl.key.digest, Size: fl.size, Modified: fl.modified, Body: b}
	if fl.ended {
		file.Digest = fl.info.Digest
	}
	if file.Modified.IsZero() {
		file.Modified = time.Now()
	}
	return file, nil
}
