// Package fetch turns what the catalog says of a file into bytes.
//
// A file whose digest is known (content) comes from the store, or else from
// one flight: a download under its own context that all clients who want the
// digest share, each reading the growing file at its own pace. A mirror's bytes are
// given out as they come, peers' only once the whole SHA-256 matches or, of a large
// file, somebody vouches for them; the last part waits for the whole in any case, so
// that no client ever has a complete wrong file (giveout). The catalog learns from an index once it is held.
// Release files are part of package release; unknown files, which no index
// lists, are revalidated with the mirror once per TTL and streamed, and package
// ahead looks for the index that lists them. What comes with a login, a client's
// or the box's, is for those whom its mirror accepts (package access): it is
// downloaded apart, and peers have no part in it.
//
// Bytes come from other boxes (peer.Swarm) before they come from a mirror: a
// large file in pieces from several at once (package pieces), anything else,
// and whatever the pieces leave open, as a stream from one source after the
// other, of which several may be mirrors of one archive. A digest is asked for wherever
// the catalog or a request says that it is, and while a source is much slower than
// another one is expected to be, that one is asked beside it: the faster stays. The
// mirror alone is enough for everything. What a peer sends is not trusted; the digest in the signed index
// decides, and names those that lied. In the other direction the Fetcher is the
// peer.Inventory.
//
// The files, in the order of a cold download: fetch (Get), flightkey (who shares a
// flight), flight (shared state), download (attempts), places, source, peers, lookup
// (who has it), gather (in pieces), race (which source stays), silence and patience
// (of peers), paces and gauge (how fast sources are), stream, repair and blame (of what
// was wrong), giveout (what may leave before the whole is verified), keepalive (what a
// client gets meanwhile), body (a reader),
// attribution (what a read byte counts as), passthrough (no room on disk), learn
// (indices). Beside it: anticipate, keep, keepahead and peek (before, without and instead of a
// client), avoided (requests that mirrors were spared), releases, urlcache, unknown
// and oneof (unknown files), late (who joined a flight that failed), available (what
// mirrors have of a new Release), coming (gets it before it is in force), past and dated
// (of generations that are not in force any more), upload, manifest, inventory, budget and
// handover (for peers), run (upkeep), judge (what is evicted first), recheck (what clients
// come back for), stats, transfers, timeouts, whole (what is served of kept suites while
// the mirror is away).
//
// Lock order: Fetcher.mu, then flight.mu, then lookup.mu, paces.mu, gauge.mu,
// budget.mu, rechecks.mu and the locks of packages turns, store, catalog and broadcast. Package
// pieces takes flight.mu under its own; packages release, access and ahead call back
// without theirs. No lock is held while the disk, but to close a file, or the network
// is waited for.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/fetch/ahead"
	"millpond/internal/fetch/pieces"
	"millpond/internal/fetch/release"
	"millpond/internal/fetch/turns"
	"millpond/internal/front"
	"millpond/internal/kv"
	"millpond/internal/lag"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// Options are the parts below that a Fetcher works with. All but Swarm, Lag,
// Follows and Avoided are required.
type Options struct {
	Store   *store.Store
	Catalog *catalog.Catalog
	Mirror  *mirror.Client
	Names   *kv.Table     // what is known of files without a digest, and manifests
	TTL     time.Duration // how long a Release or unknown file is served without asking the mirror
	// Downloads is how many there are at once; 0: 256. Each takes up to three descriptors.
	// When all are taken, the clients have equal shares.
	Downloads int
	Swarm     peer.Swarm // asked first for content that a signed Release lists; nil without a swarm
	Lag       *lag.Meter // of this process: peers are waited for as much longer; nil for none
	// Follows reports whether a suite is followed: its new Release comes into force when
	// its indices are held. nil follows none.
	Follows func(suite catalog.Location) bool
	// Avoided is told of each of ledger.Counts' AvoidedRequests; nil without a
	// ledger. It does not block.
	Avoided func(catalog.Location)
	// Complete returns the generation of a suite of which the box holds all that it is to
	// keep, zero if there is none; nil if it keeps nothing. It does not block.
	Complete func(suite catalog.Location) digest.Digest
	Log      *slog.Logger
}

// Fetcher is safe for concurrent use.
type Fetcher struct {
	store   *store.Store
	catalog *catalog.Catalog
	mirror  *mirror.Client
	names   *kv.Table
	ttl     time.Duration
	swarm   peer.Swarm // nil without one
	avoided func(catalog.Location)
	log     *slog.Logger

	complete func(catalog.Location) digest.Digest // nil without one

	access    *access.Gate
	releases  *release.Cache
	ahead     *ahead.Reader
	learning  *turns.Queue
	rechecks  *rechecks
	asked     asked
	recorded  recorded
	downloads *front.Shares // a place for each flight
	stats     counters
	lookups   lookups
	budget    *budget // of what is fetched for peers
	datedTurn *datedTurn
	paces     paces
	load      load
	lag       func() time.Duration
	timeouts  timeouts

	// The downloads' own lifetime: it ends with Close, not with a client.
	lifetime context.Context
	end      context.CancelCauseFunc
	running  sync.WaitGroup

	buffers *pieces.Buffers
	hashing chan struct{} // a place for the one manifest being made

	mu      sync.Mutex // guards the maps
	flights map[flightKey]*flight
	unread  *unread
}

// New returns a Fetcher. Close must be called.
func New(o Options) *Fetcher {
	ctx, cancel := context.WithCancelCause(context.Background())
	f := &Fetcher{
		store: o.Store, catalog: o.Catalog, mirror: o.Mirror, names: o.Names, ttl: o.TTL, swarm: o.Swarm, avoided: o.Avoided, complete: o.Complete, log: o.Log,
		lifetime: ctx, end: cancel,
		flights:   make(map[flightKey]*flight),
		unread:    newUnread(maxUnread),
		lag:       o.Lag.Now,
		timeouts:  defaultTimeouts(),
		downloads: newDownloads(cmp.Or(o.Downloads, 256)),
		budget:    newBudget(peerBudget, peersBudget),
		datedTurn: newDatedTurn(),
		buffers:   pieces.NewBuffers(maxBuffers),
		hashing:   make(chan struct{}, 1),
		recorded:  recorded{after: sweepAfter, many: broadcast.NewWake()},
	}
	if f.avoided == nil {
		f.avoided = func(catalog.Location) {}
	}
	if o.Follows == nil {
		o.Follows = func(catalog.Location) bool { return false }
	}
	f.learning = turns.New(indicesInTurn, f.running.Go, func() bool { return ctx.Err() != nil })
	f.rechecks = newRechecks(o.Store, ctx, f.running.Go, o.Log)
	f.access = access.New(ctx, o.Mirror, o.TTL, access.Keeper{Names: o.Names, Log: o.Log}, f.answeredIn)
	releases := release.Options{
		Store: o.Store, Catalog: o.Catalog, Access: f.access, Names: o.Names, TTL: o.TTL, Log: o.Log,
		Asks: f.asked.note, Fetched: f.fetchedRelease, Available: f.available, Patience: f.releasePatience, Follows: o.Follows, Hold: f.fetchComing,
	}
	if o.Swarm != nil {
		releases.Site = o.Swarm
	}
	f.releases = release.New(ctx, releases)
	f.ahead = ahead.New(ctx, ahead.Options{
		Catalog: o.Catalog, Keep: f.Keep, Refresh: f.Refresh, OnRecord: f.releases.OnRecord, Go: f.running.Go, Log: o.Log,
	})
	return f
}

// newDownloads are n places for flights, an eighth of them for small files.
func newDownloads(n int) *front.Shares {
	return front.NewSharesOf(front.Room{Places: n - n/8}, front.Room{Places: n / 8})
}

// Close ends all downloads, keeping what they have for a later resume, and
// waits for them.
func (f *Fetcher) Close() error {
	f.end(ErrClosed)
	f.running.Wait()
	f.releases.Wait()
	f.access.Wait()
	return nil
}

// Request is what a client asks for.
type Request struct {
	catalog.Entry
	// Login is the client's, for the host of the Location and no other; "" if it
	// sent none.
	Login mirror.Login
	// Revalidate has the mirror asked for a Release or unknown file although
	// what is held is fresh (RFC 9111, section 5.2.1.4: no-cache): with all that
	// wait for an answer, and once a second at most. A file with a digest is
	// what it is.
	Revalidate bool
	// Again says that the client was sent all of the file lately, and wants all of it
	// again: it may have found it damaged, so what is held is hashed first.
	Again bool
	// Generation, of a Release file, is the one whose file it is to be, whatever is in
	// force; zero for that.
	Generation digest.Digest
	// Dated is where a dated archive has the file as it was; zero without one.
	Dated catalog.Location
	Party front.Party // of the client, by which it has its share; the zero one is the box itself
	Via   []string    // the fields of the client's request (mirror.For)
}

// File is an answer ready to be sent: its first bytes are at hand.
type File struct {
	Digest   digest.Digest    // zero for an unknown file still on its way
	Size     int64            // in bytes; -1 if not known before the end
	Modified time.Time        // Last-Modified as the mirror gave it, or when first seen
	Release  digest.Digest    // of a Release file: the generation served
	Suite    catalog.Location // of a Release file
	Age      time.Duration    // of a Release or unknown file: since it was last checked with the mirror
	Stale    string           // not empty: served although the mirror could not be asked, and why
	Public   bool             // it is held, and whoever asks for its digest may have it
	Pending  bool             // of a Release file: the mirror has a newer one, which is not complete
	Body     Body             // the caller closes it
}

// Body is read, seeked and closed by one goroutine. Seek works where the size
// is known.
type Body interface {
	io.ReadSeekCloser
	// Origin tells where the bytes of the last Read came from; one Read never
	// mixes origins.
	Origin() ledger.Origin
}

// StoredBody is the Body of a held blob.
type StoredBody struct {
	*store.Blob
	origin ledger.Origin
}

// Origin implements Body.
func (b StoredBody) Origin() ledger.Origin { return b.origin }

// File returns the blob's own file, which the kernel can send without copying.
func (b StoredBody) File() *os.File { return b.Blob.File }

// Get returns the file that r names, and fails as soon as it is clear that no
// byte of it can be had: with the mirror's own answer (*mirror.StatusError),
// a *mirror.RefusedError, a *mirror.UnreachableError, mirror.ErrOffline, one of
// this package's errors, or ctx's. ctx ends the caller's waiting and reading
// only, never a download that others share.
func (f *Fetcher) Get(ctx context.Context, r Request) (*File, error) {
	r.Login = f.access.Login(r.Location, r.Login)
	if r.Kind == catalog.Content {
		return f.content(ctx, r)
	}
	ctx = mirror.For(ctx, r.Party, r.Via)
	switch r.Kind {
	case catalog.ReleaseFile:
		if !r.Generation.IsZero() {
			return f.generationFile(ctx, r)
		}
		file, err := f.release(ctx, r)
		f.answered(r, err)
		return file, err
	default:
		file, err := f.unknown(ctx, r)
		f.answered(r, err)
		if err == nil {
			f.ahead.Unlisted(r.Location)
		}
		return file, err
	}
}

// content serves a digest from the store, or from the flight that fetches it.
func (f *Fetcher) content(ctx context.Context, r Request) (*File, error) {
	f.recheck(ctx, r, r.Digest)
	if r.Login == "" {
		if file, err := f.public(r.Digest); err == nil {
			return f.held(r, file), nil
		}
	}
	ctx = mirror.For(ctx, r.Party, r.Via)
	// A flight may commit, or be abandoned, between the look into the store
	// and the join; a blob may be evicted between the join and the next look.
	for try := range 3 {
		file, err := f.admitted(ctx, r)
		var refused *access.RefusedError
		switch {
		case err == nil:
			return f.held(r, file), nil
		case errors.As(err, &refused):
			return nil, refused.Err
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, access.ErrNotHeld):
			f.log.Error("held blob unreadable, fetching it again", "digest", r.Digest, "err", err)
		}
		fl, began, err := f.joinForClient(r)
		if err != nil {
			return nil, err
		}
		file, err = fl.open(ctx)
		if !again(err) && (try > 0 || began || !isLate(err)) {
			return file, err
		}
	}
	return f.unkept(ctx, r)
}

// admitted opens the held blob that r is about, if its client may have it: a
// blob that came with a login is for those whom a mirror accepted alone.
func (f *Fetcher) admitted(ctx context.Context, r Request) (*File, error) {
	file, err := f.stored(r.Digest)
	if err != nil {
		return nil, err
	}
	blob := file.Body.(StoredBody).Blob
	if err := f.access.Admit(ctx, r.Location, r.Login, blob.Info()); err != nil {
		blob.Close()
		return nil, err
	}
	return file, nil
}

// joinForClient returns the flight that fetches the content r for a client,
// counted in, and whether it began with it.
func (f *Fetcher) joinForClient(r Request) (fl *flight, began bool, err error) {
	fl, began, err = f.join(r, func() *flight { return f.newContentFlight(r) })
	if err == nil {
		fl.wanted.Store(true)
	}
	if err == nil && r.Index {
		f.catalog.Await(r.Entry)
	}
	return fl, began, err
}

// stored opens a held blob as a File.
func (f *Fetcher) stored(d digest.Digest) (*File, error) {
	blob, err := f.store.Open(d)
	if err != nil {
		return nil, err
	}
	info := blob.Info()
	return &File{Digest: d, Size: info.Size, Modified: info.Modified, Body: StoredBody{blob, ledger.FromStore}}, nil
}

// public opens a held blob for whoever wants it. One that came with a login is
// none.
func (f *Fetcher) public(d digest.Digest) (*File, error) {
	file, err := f.stored(d)
	if err == nil && access.Private(file.Body.(StoredBody).Info()) {
		file.Body.Close()
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	return file, err
}

// storedFor opens a held blob for a client whose login, if it has one, the mirror
// has accepted.
func (f *Fetcher) storedFor(login mirror.Login, d digest.Digest) (*File, error) {
	if login == "" {
		return f.public(d)
	}
	return f.stored(d)
}

// holds reports whether the store has d.
func (f *Fetcher) holds(d digest.Digest) bool {
	_, err := f.store.Stat(d)
	return err == nil
}

// holdsFor reports whether the store has what r is about, for those with r's
// login whom r's mirror accepts.
func (f *Fetcher) holdsFor(r Request) bool {
	info, err := f.store.Stat(r.Digest)
	return err == nil && access.Found(info, r.Location, r.Login)
}
