// Package release keeps the Release files of suites: InRelease, or Release
// with Release.gpg.
//
// They are the only files of an archive that change in place. Get checks a
// suite with its mirror once per TTL, however many callers ask, and has the
// last good one served while the mirror is away. A new Release is verified
// once, stored and pinned in one transaction, and adopted by the catalog. What
// is no Release, or has a known key's signature over other bytes, is refused:
// the last good one stays in force.
//
// A Release that is older than the held one, of another suite, or without a good
// signature where the held one has one, is rejected (worse.go has the rule): nobody
// who replays an old answer sets a suite back. An administrator can accept one.
// Several mirrors of an archive are asked in turn.
//
// The boxes of a site share their polls (site.go, offer.go): one asks the mirror, and
// hands the others what it has, which each checks as if the mirror had sent it.
//
// Nobody's single answer decides what later ones are compared with. What a request is
// conditional on are validators that two answers had with the same bytes.
//
// A check runs under the Cache's lifetime, not its callers'. The lock mu guards what
// is known of checks, mirrors, records and accepted Releases, and is held for nothing
// else; the lock writing is held while a record is written, and for a Sweep.
package release

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/front"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// ErrNotRelease says that the mirror answered a request for a Release with
// something else, a captive portal's page for instance.
var ErrNotRelease = errors.New("the mirror's answer is not a usable Release file")

// checkTimeout ends a check that no stall limit ended. A mirror may take two
// minutes for the first byte of InRelease, or of Release and of its signature;
// who can be served what is held does not wait for that.
const checkTimeout = 5 * time.Minute

// Access asks mirrors, and remembers whose logins they accepted; it is a Gate of
// package access.
type Access interface {
	// Login returns the login for a request at l: its own, else the box's.
	Login(l catalog.Location, own mirror.Login) mirror.Login
	Get(ctx context.Context, r mirror.Request) (*mirror.Response, error)
	// Mirrors returns the mirrors that may be asked for l with login, best first;
	// Blame notes that one of them sent something wrong.
	Mirrors(l catalog.Location, login mirror.Login) []string
	Blame(l catalog.Location, from string, why error)
	// Accept notes that the mirror gave d at l to login; Accepted reports
	// whether it did within the TTL, AcceptedLately within a day.
	Accept(l catalog.Location, login mirror.Login, d digest.Digest)
	Accepted(l catalog.Location, login mirror.Login, d digest.Digest) bool
	AcceptedLately(l catalog.Location, login mirror.Login, d digest.Digest) bool
	// Place names l as a place behind a login, for store.Meta.
	Place(l catalog.Location) string
}

// Options are the parts that a Cache works with. All are required.
type Options struct {
	Store   *store.Store
	Catalog *catalog.Catalog
	Access  Access
	Names   *kv.Table     // where the records are kept
	TTL     time.Duration // how long a suite is served without asking the mirror
	Log     *slog.Logger
	Asks    func(catalog.Location, mirror.Login) // told what the mirror is asked for; does not block
	Fetched func(d digest.Digest, peer bool)     // told what a mirror or a peer sent anew; does not block
	// Available returns nil if the mirror has a file that a new Release lists.
	Available func(context.Context, catalog.Change, mirror.Login) error
	Site      Site // nil without a swarm; then Patience is not needed
	// Patience is how long a box of this site may take that asks its mirror for a file.
	Patience func(catalog.Location) time.Duration
	// Follows reports whether a suite is followed. A new Release of it waits while Hold
	// fetches and learns what clients use of that generation, which the catalog expects.
	Follows func(suite catalog.Location) bool
	Hold    func(ctx context.Context, suite catalog.Location, release digest.Digest) error
}

// Cache is safe for concurrent use.
type Cache struct {
	store   *store.Store
	catalog *catalog.Catalog
	access  Access
	names   *kv.Table
	ttl     time.Duration
	log     *slog.Logger
	asks    func(catalog.Location, mirror.Login)
	fetched func(d digest.Digest, peer bool)

	available func(context.Context, catalog.Change, mirror.Login) error
	site      Site // nil without one
	patience  func(catalog.Location) time.Duration
	follows   func(catalog.Location) bool
	fetch     func(context.Context, catalog.Location, digest.Digest) error

	lifetime context.Context
	running  sync.WaitGroup
	keys     broadcast.Wake // for Run
	early    time.Duration  // earlyEvery but for tests
	holdFor  time.Duration  // as the constant, but for tests

	maxRecords int        // as the constant, but for tests
	writing    sync.Mutex // held while a record is written, and for a Sweep; taken before mu

	mu       sync.Mutex // guards what follows
	checks   map[string]*check
	ended    int // checks that have ended so far
	behind   map[behind]time.Time
	absent   map[string]suite      // by key; at most maxAbsent
	parsed   map[recordKey]*parsed // at most maxParsed
	writes   int                   // of records so far
	tally    tally
	accepted map[accepted]bool
	named    map[digest.Digest]catalog.Location // by suiteName; at most maxNamed
}

// New returns a Cache whose checks run until lifetime ends. Callers then get
// lifetime's cause; Wait must be called.
func New(lifetime context.Context, o Options) *Cache {
	return &Cache{
		store: o.Store, catalog: o.Catalog, access: o.Access, names: o.Names, ttl: o.TTL, log: o.Log,
		asks: o.Asks, fetched: o.Fetched, available: o.Available, site: o.Site, patience: o.Patience, follows: o.Follows, fetch: o.Hold,
		lifetime: lifetime, keys: broadcast.NewWake(), early: earlyEvery, holdFor: holdFor, checks: make(map[string]*check), behind: make(map[behind]time.Time), absent: make(map[string]suite), parsed: make(map[recordKey]*parsed),
		maxRecords: maxRecords, accepted: make(map[accepted]bool), named: make(map[digest.Digest]catalog.Location),
	}
}

// Wait returns when no check runs any more.
func (c *Cache) Wait() { c.running.Wait() }

// File is a Release file to be served.
type File struct {
	Digest   digest.Digest
	Size     int64 // bytes
	Modified time.Time
	Release  digest.Digest // of the generation that it belongs to
	Age      time.Duration // since it was last checked with the mirror
	Stale    string        // not empty: what the mirror has was not taken since, and why
	Pending  bool          // the mirror has a newer one, which is not complete
	Data     []byte        // nil: the store has it
}

// Request is for a Release file, with the client's login or the box's; "" for
// none. With a login it has a record of its own, that those share whom the
// mirror accepts, and each login is checked by itself.
type Request struct {
	catalog.Entry
	Login      mirror.Login
	Revalidate bool // the mirror is asked within the TTL, too, once a second at most; what it has waits for no indices
	Own        bool // what another box says does not count
	Patient    bool // who asks waits until the check has ended, whatever could be served meanwhile
	Party      front.Party
	Via        []string // the fields of the client's request (mirror.For)
}

// decisive is the location of the file that decides how fresh r's is, and whom
// it is for.
func (r Request) decisive() catalog.Location {
	if r.Location.Name() == "InRelease" {
		return r.Location
	}
	return r.Suite.Join("Release")
}

// mirrorOnly reports whether r is for what the mirror says to this box itself.
func (r Request) mirrorOnly() bool { return r.Own || r.Revalidate }

// Get returns the Release file that e names. A client that was given a Release,
// which e.Release names then, gets the signature of that one, whatever is
// current by now. Errors are those of package mirror, ErrNotRelease, ctx's and
// the lifetime's.
func (c *Cache) Get(ctx context.Context, e Request) (File, error) {
	s, k, err := c.checked(ctx, e)
	if err != nil {
		return File{}, err
	}
	v := *s.form(e.Location.Name())
	release, age := v.Digest, v.Age()
	if e.Location.Name() == "Release.gpg" {
		v = s.Signature
		// Tools that copy archives ask for InRelease first, which has no signature
		// beside it, and for the pair then.
		other := e.Release != release && e.Release != s.InRelease.Digest
		if g, ok := c.catalog.Generation(e.Suite, e.Release); ok && !e.Release.IsZero() && other {
			release = g.ID
			v = record{Copy: mirror.Copy{Digest: g.Signature, Seen: g.Learned}}
			if info, err := c.store.Stat(g.Signature); err == nil {
				v.Size = info.Size // else there is nothing to open either
			}
		}
	}
	if v.Digest.IsZero() {
		code := v.Missing
		if code == 0 {
			code = 404
		}
		return File{}, &mirror.StatusError{URL: e.Location.String(), Code: code}
	}
	file := File{Digest: v.Digest, Size: v.Size, Modified: v.Modified(), Release: release, Age: age}
	form := s.form(e.Location.Name())
	file.Stale, file.Pending = form.Unchecked, form.Unchecked != "" && !form.Pending.Since.IsZero()
	if k != nil {
		file.Data = k.fetched[v.Digest]
	}
	return file, nil
}

// Anticipate begins the check that Get would wait for, and waits for nothing.
func (c *Cache) Anticipate(e Request) {
	s, ended, err := c.load(e.Suite, e.Login)
	if err == nil && !c.fresh(&s, e) {
		c.check(e, s, ended)
	}
}

// Expire makes the next request for the suite's Release ask the mirror, once a
// second at most.
func (c *Cache) Expire(dir catalog.Location) {
	for _, private := range []bool{false, true} {
		s, err := kv.GetJSON[suite](c.names, key(dir, private))
		if err != nil || s == (suite{}) {
			continue // the next check meets the same error and returns it
		}
		s.InRelease.Expired, s.Release.Expired = true, true
		if err := c.putRecord(key(dir, private), s); err != nil {
			c.log.Warn("suite's record not written", "suite", dir.String(), "err", err)
		}
	}
}

// check is one revalidation in progress, shared by all callers.
type check struct {
	done  chan struct{}
	slow  chan struct{} // closed when it is not to be waited for by who can be served something else
	late  sync.Once     // closes slow
	login mirror.Login
	begun time.Time
	waiting
	// Written before done is closed.
	suite   suite // as it is then
	err     error
	fetched map[digest.Digest][]byte // what the mirror, or from, sent anew, also where the store had no room
	from    string                   // the peer that sent it, "" for the mirror
}

func (k *check) isSlow() { k.late.Do(func() { close(k.slow) }) }

// checked returns what is kept of e's suite, no older than the TTL, or than a
// second with Revalidate, and the check that this took, if any.
func (c *Cache) checked(ctx context.Context, e Request) (suite, *check, error) {
	for {
		s, ended, err := c.load(e.Suite, e.Login)
		if err != nil || c.fresh(&s, e) {
			return s, nil, err
		}
		k := c.check(e, s, ended)
		if k == nil {
			continue // one has ended since, and may have changed the record
		}
		slow, coming := k.slow, k.comingFor(e)
		if e.Patient || !c.serveable(&s, e) {
			slow, coming = nil, nil
		}
		form := s.form(e.Location.Name())
		select {
		case <-k.done:
			if k.err == nil && e.mirrorOnly() && k.suite.form(e.Location.Name()).Vouched != "" {
				continue
			}
			return k.suite, k, k.err
		case <-slow:
			form.Unchecked = fmt.Sprintf("the mirror has not answered all for %v", time.Since(k.begun).Round(time.Second))
			return s, nil, nil
		case <-coming:
			form.Unchecked, form.Pending = comingWhy, pending{k.begun, clock.Reading{}}
			return s, nil, nil
		case <-ctx.Done():
			return s, nil, context.Cause(ctx)
		}
	}
}

// serveable reports whether e can be served from s although it is not fresh.
func (c *Cache) serveable(s *suite, e Request) bool {
	v := s.form(e.Location.Name())
	return !v.Digest.IsZero() && c.holds(*v, e.Login) && c.known(e.Suite) &&
		(e.Login == "" || c.access.AcceptedLately(e.decisive(), e.Login, v.Digest))
}

// fresh reports whether e can be served from s without asking the mirror.
func (c *Cache) fresh(s *suite, e Request) bool {
	v := s.form(e.Location.Name())
	if e.Login != "" && !c.access.Accepted(e.decisive(), e.Login, v.Digest) {
		return false
	}
	if e.mirrorOnly() && v.Vouched != "" {
		return false
	}
	// That a suite is not there yet is what direct clients see no longer than that.
	nothing := s.InRelease.Digest.IsZero() && s.Release.Digest.IsZero()
	if sig := s.Signature; e.Location.Name() == "Release.gpg" && !sig.Digest.IsZero() && !c.holds(sig, e.Login) {
		return false
	}
	return c.holds(*v, e.Login) && v.fresh(c.ttl, e.Revalidate || nothing) && (v.Digest.IsZero() || c.known(e.Suite))
}

// check returns the check in progress of e's suite in e's form, or starts one
// from s, the suite's record as it was after that many checks had ended; nil
// if more have ended since.
func (c *Cache) check(e Request, s suite, ended int) *check {
	key := e.Suite.String()
	if e.Location.Name() == "InRelease" {
		key += "/InRelease"
	}
	key += " " + string(e.Login)
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.checks[key]; k != nil {
		return k
	}
	if c.ended != ended {
		return nil
	}
	k := &check{done: make(chan struct{}), slow: make(chan struct{}), waiting: newWaiting(), begun: time.Now(), login: e.Login, suite: s, fetched: make(map[digest.Digest][]byte)}
	if c.lifetime.Err() != nil {
		k.err = context.Cause(c.lifetime)
		close(k.done)
		return k
	}
	c.checks[key] = k
	k.learned = c.catalog.BeginLearning(e.Entry)
	c.running.Go(func() {
		defer k.learned()
		ctx, cancel := context.WithTimeout(mirror.For(c.lifetime, e.Party, e.Via), checkTimeout)
		defer cancel()
		defer time.AfterFunc(mirror.Patience, k.isSlow).Stop()
		k.err = c.revalidate(ctx, e, k)
		c.mu.Lock()
		delete(c.checks, key)
		c.ended++
		c.mu.Unlock()
		close(k.done)
	})
	return k
}
