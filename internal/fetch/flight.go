package fetch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// linger is how long a download goes on after its last client has left.
	// apt drops connections and asks again; past this the mirror's bytes would
	// be taken for nobody. What is there stays for a resume. One that no client
	// wanted ends at once: peers leave it when they get the file elsewhere, and who
	// fetches ahead when clients come.
	linger = 30 * time.Second
)

// Whoever joined a flight that ends with one of these looks into the store and
// joins again.
var (
	errHeld      = errors.New("the file is held already")
	errAbandoned = errors.New("the download was abandoned as somebody joined it")
)

// again reports whether err is one of these.
func again(err error) bool { return errors.Is(err, errHeld) || errors.Is(err, errAbandoned) }

// flight is one download, shared. Its goroutine (run) writes; bodies read.
type flight struct {
	f       *Fetcher
	key     flightKey
	entry   catalog.Entry
	cached  mirror.Copy // of an unknown file: what is held of it
	client  front.Party // of the one that it began with
	via     []string    // the fields of that one's request
	crowded bool        // it keeps nothing
	log     *slog.Logger
	stop    context.CancelFunc
	started time.Time
	widened chan struct{} // there is another source to ask now: a place, or the mirror before owners

	announced  atomic.Bool                 // to the peers
	fromMirror atomic.Bool                 // it asks the mirror before peers, and no owner (skipPeers)
	reload     atomic.Bool                 // caches on the way to mirrors have sent something wrong
	place      atomic.Pointer[front.Place] // nil while it waits for one

	payer    string          // the peer that it was begun for, "" if it was for none
	early    bool            // it was begun before any client asked
	first    int64           // byte that it was begun for
	replaces []digest.Digest // whose room it may take, of an early one
	wanted   atomic.Bool     // by a client, too
	received atomic.Int64    // bytes
	mirrored atomic.Int64    // of received: from mirrors

	mu          sync.Mutex       // guards what follows; taken before the partial's own lock, never after
	places      []place          // where content may be, the oldest first; at most maxPlaces
	index       catalog.Entry    // what an index is learned as
	learned     func()           // of an index that is to be learned: ends what BeginLearning began
	changed     broadcast.Signal // something below has changed
	part        *store.Partial
	file        *store.PartialReader // of part, for all bodies; closed with the last of them
	abandoned   bool                 // who joins now gets no byte, but errAbandoned at the end
	over        bool                 // run has returned, or is about to
	failed      bool                 // a source failed
	epoch       int                  // how often the download began anew after wrong bytes
	size        int64
	modified    time.Time
	attribution attribution
	records     map[string]store.Provenance // of this attempt's sources, by name
	whole       bool                        // all bytes are there and verified
	sum         digest.Digest               // their digest then
	ended       bool
	err         error
	info        store.Info         // once ended well
	lookup      *lookup            // of peers, once the DHT was asked
	vouchedFor  []store.Range      // not trusted yet, since the flight is too young; ascending from each source
	trusting    *time.Timer        // trusts them
	passthrough *passthrough       // set when the disk has no room: bodies fetch for themselves
	readers     int                // clients, and those that read for a peer
	bodies      map[*body]struct{} // that are open
	idle        *time.Timer        // ends an unwanted download
}

// newFlight returns a flight that has not started.
func (f *Fetcher) newFlight(key flightKey, e catalog.Entry) *flight {
	return &flight{
		f: f, key: key, entry: e, size: e.Size, started: time.Now(), widened: make(chan struct{}, 1),
		log: f.log.With("url", e.Location.String()), bodies: make(map[*body]struct{}),
	}
}

// request is what the flight is for.
func (fl *flight) request() Request { return Request{Entry: fl.entry, Login: fl.key.login} }

// newBody returns a reader for a client or for a peer. The
// caller was counted in by join.
func (fl *flight) newBody(ctx context.Context, client bool) *body {
	b := &body{fl: fl, ctx: ctx, client: client}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	b.late = fl.failed
	fl.bodies[b] = struct{}{}
	return b
}

// position is the first missing byte that some reader will read next.
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
		return fl.first + fl.part.Available(fl.first)
	}
	return next
}

// join returns the flight in progress for r, which asks from now on where r says,
// too, or starts the one that make returns; began says so. The caller is counted as
// a reader, and must call leave or close the body that it opens.
func (f *Fetcher) join(r Request, make func() *flight) (fl *flight, began bool, err error) {
	key, at := keyOf(r), f.placeOf(r) // which may read the disk
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lifetime.Err() != nil {
		return nil, false, ErrClosed
	}
	fl = f.flights[key]
	if began = fl == nil; began {
		fl = make()
		fl.places, fl.crowded = []place{at}, f.crowded(key)
		f.flights[key] = fl
		var ctx context.Context
		ctx, fl.stop = context.WithCancel(mirror.For(f.lifetime, fl.client, fl.via))
		f.running.Go(func() { fl.run(ctx) })
		f.stats.flights.Add(1)
	} else {
		f.stats.joined.Add(1)
		fl.addPlace(at)
		fl.willLearn(r.Entry)
	}
	fl.enter()
	return fl, began, nil
}

// run downloads.
func (fl *flight) run(ctx context.Context) {
	defer fl.stop()
	err := fl.download(ctx)
	fl.closePart()
	fl.f.land(fl, err)
	if err == nil {
		fl.accepted()
	}
	fl.learnLanded(err)
	fl.settle()
	fl.finish(err)
}

// download waits for the turn of the client, and then gets the file.
func (fl *flight) download(ctx context.Context) error {
	place, err := fl.f.downloads.Wait(ctx, fl.client, isSmall(fl.entry), func(bool) { fl.giveWay() })
	if err != nil {
		return err
	}
	defer place.Leave()
	fl.place.Store(place)
	if fl.key.digest.IsZero() {
		return fl.downloadUnknown(ctx)
	}
	return fl.downloadContent(ctx)
}

// closePart keeps an unfinished part for a resume. Before the flight lands: the
// next one of the same digest opens it.
func (fl *flight) closePart() {
	fl.mu.Lock()
	part := fl.part
	fl.mu.Unlock()
	if part != nil {
		part.Close() // nothing to do after Commit
	}
}

// accepted notes that the mirror gave the file to the flight's login.
func (fl *flight) accepted() {
	fl.mu.Lock()
	d := fl.info.Digest
	fl.mu.Unlock()
	if !d.IsZero() { // kept
		fl.f.access.Accept(fl.entry.Location, fl.key.login, d)
	}
}

// finish tells all readers how the flight ended.
func (fl *flight) finish(err error) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.over = true
	fl.closeFile()
	if fl.idle != nil {
		fl.idle.Stop()
	}
	if fl.trusting != nil {
		fl.trusting.Stop()
	}
	if fl.passthrough != nil {
		return // bodies carry on by themselves
	}
	if errors.Is(err, context.Canceled) {
		if err = errAbandoned; fl.f.lifetime.Err() != nil {
			err = ErrClosed
		}
	}
	fl.ended, fl.err = true, err
	fl.changed.Fire()
}

// enter counts a reader in.
func (fl *flight) enter() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.readers++
	if fl.idle != nil {
		fl.idle.Stop()
	}
}

// leave counts a reader out. After the last one the download lingers, if a client
// wanted it.
func (fl *flight) leave() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.readers--
	fl.closeFile()
	switch {
	case fl.readers > 0 || fl.over:
	case fl.forPeer(), fl.isEarly():
		fl.abandoned = true
		fl.stop()
	case fl.idle == nil:
		fl.idle = time.AfterFunc(linger, fl.abandon)
	default:
		fl.idle.Reset(linger)
	}
}

// closeFile closes the file when it has no reader and cannot get one any more.
// fl.mu is held.
func (fl *flight) closeFile() {
	if fl.over && fl.readers == 0 && fl.file != nil {
		fl.file.Close()
		fl.file = nil
	}
}

// abandon stops a download that has had no reader for a while.
func (fl *flight) abandon() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.readers == 0 {
		fl.abandoned = true
		fl.stop()
	}
}

// giveWay stops a download that another party needs the place of. Whoever has no byte
// of it joins the next one; what is there stays for that.
func (fl *flight) giveWay() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.abandoned = true
	fl.stop()
}

// hasAnswer reports whether a source has answered.
func (fl *flight) hasAnswer() bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.part != nil
}

// begin makes part the file that is written from now on. It is opened for all
// bodies at once, before it can end: so they get all that the flight releases
// to them. Bytes that part has from an earlier attempt count as the store's:
// they were counted as taken then.
func (fl *flight) begin(part *store.Partial) {
	file := part.Reader() // the disk is not waited for under mu
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.part, fl.file = part, file
	fl.attribution, fl.records = attribution{}, nil
	if size := part.Size(); size >= 0 {
		end := int64(0)
		for _, hole := range part.Missing() {
			fl.attribution.wrote(end, hole.Off, ledger.FromStore, "")
			end = hole.End
		}
		fl.attribution.wrote(end, size, ledger.FromStore, "")
	} else {
		fl.attribution.wrote(0, part.Available(0), ledger.FromStore, "")
	}
	fl.changed.Fire()
}

// restart forgets the wrong bytes of the current part. Clients that have read
// some are cut short by their body; the others never know.
func (fl *flight) restart() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.epoch++
	if fl.file != nil {
		fl.file.Close()
	}
	fl.part, fl.file, fl.attribution, fl.records, fl.vouchedFor = nil, nil, attribution{}, nil, nil
	fl.size, fl.modified = fl.entry.Size, time.Time{}
	fl.changed.Fire()
}

// answered records what the first source to answer said of the file.
func (fl *flight) answered(size int64, modified time.Time) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if size >= 0 {
		fl.size = size
	}
	if fl.modified.IsZero() {
		fl.modified = modified
	}
	fl.changed.Fire()
}

// grew records that bytes came in from s.
func (fl *flight) grew(off, end int64, s source) {
	record := s.Record()
	fl.received.Add(end - off)
	if s.Origin() == ledger.FromMirror {
		fl.mirrored.Add(end - off)
	}
	if place := fl.place.Load(); place != nil {
		place.Progress()
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.attribution.wrote(off, end, s.Origin(), s.String())
	if fl.records == nil {
		fl.records = make(map[string]store.Provenance)
	}
	fl.records[s.String()] = record
	fl.changed.Fire()
}

// landed records the committed blob.
func (fl *flight) landed(info store.Info) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.info, fl.size, fl.modified = info, info.Size, info.Modified
}
