// Package siteledger adds up the figures of the boxes of a site: this one, the members of its
// swarm and local boxes. Nothing proves what a local box says, so its figures are kept
// apart from the sum of the others.
//
// Each box asks the others for a Report, a protobuf message (message.go has the fields)
// that package swarm carries, every half minute, and every other second while somebody
// looks. What a box told last is kept on disk for 90 days after it left. A byte counts
// once: bytes between boxes are neither delivered nor taken from a mirror, so that the
// sum of what boxes delivered, less the sum of what they took from mirrors, is what the
// mirrors were spared.
//
// To count a client once that came to several boxes, they exchange keyed hashes of
// addresses: up to 2048 all of them, beyond that a sample from which the number follows
// (Sketch). Nobody outside the site can tell addresses from them, but a box that has the
// key can try all addresses. So they go to members, and to local boxes only where the
// page, which lists the clients, is open to these as well.
//
// Names that administrators gave to boxes and clients spread among members; the one that
// was given last wins.
//
// The number of boxes, of names, and all that a box can tell is bounded. The clock is
// package time's.
package siteledger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"millpond/internal/api"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// Swarm reaches the other boxes; *swarm.Swarm.
type Swarm interface {
	Reporters() []peer.Neighbour
	AskReport(ctx context.Context, box string, question []byte) (answer []byte, err error)
	Misreported(box string, why error)
}

// Ledger has this box's figures; *ledger.Ledger.
type Ledger interface {
	Totals() (ledger.Counts, time.Time)
	Series(step ledger.Step, from, to time.Time) ([]ledger.Point, error)
	Clients(after string) iter.Seq2[ledger.Account, error]
	Packages(after string) iter.Seq2[ledger.Account, error]
}

// Holdings are this box's figures of the moment beside those of the ledger.
type Holdings struct{ Blobs, BlobBytes, QuotaBytes, Downloads int64 }

// Options are what a Site is made of. All are required but those that say so.
type Options struct {
	Table    *kv.Table
	Ledger   Ledger
	Swarm    Swarm  // nil for a box in no swarm
	ID       string // this box's peer ID; "" for a box in no swarm
	Secret   []byte // of the swarm, for the hashes of clients
	Version  string
	Holdings func() Holdings
	InUse    func() []Suite // suites that clients of this box use
	// ServedAt is where clients reach this box; its address is unspecified if that is any
	// that the box has.
	ServedAt func() netip.AddrPort
	Faults   func() []api.Fault
	Privacy  Privacy
	Log      *slog.Logger
}

// Privacy is what is neither kept nor told about clients.
type Privacy struct {
	NoClients bool // no hashes of them
	NoNames   bool // no names of them
	// Keep is how long the hashes of a box that is away are kept; 0: as its figures.
	Keep time.Duration
	// LocalsMayLook says that a local box may be told what the page shows, since the page
	// is open to everybody at its address.
	LocalsMayLook bool
}

const (
	// tick is how often it is seen what is due.
	tick = time.Second
	// askEvery is how old figures are when nobody looks, lookEvery when somebody has
	// within lookFor.
	askEvery  = 30 * time.Second
	lookEvery = 2 * time.Second
	lookFor   = 15 * time.Second
	// surveyEvery is how old the lists of clients and packages are at most: reading 20,000
	// of each takes 50 ms.
	surveyEvery = 15 * time.Second
	// saveEvery is how much a box that leaves while this one is killed may lose.
	saveEvery = 30 * time.Second
)

// Site keeps the figures of the boxes. Its methods may be called from several
// goroutines.
type Site struct {
	Options
	ledgerID uint64
	rates    rates

	mu      sync.Mutex         // guards the fields below
	boxes   map[string]*record // by peer ID
	names   names
	own     Report       // of the last survey, without series
	details [2]versioned // with and without hashes of clients
	looked  time.Time
	tried   map[string]attempt // the last one, by connected box
	changed int64              // counts changes of the sets, for counted
	counted [2]tally
}

// Open reads what t holds. A row that does not decode is dropped: the box that it is
// about tells its figures again.
func Open(o Options) (*Site, error) {
	s := &Site{Options: o, boxes: make(map[string]*record), tried: make(map[string]attempt)}
	s.names = newNames(o.ID)
	var err error
	if s.ledgerID, err = ledgerID(o.Table); err == nil {
		err = s.load()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the figures of the site: %w", err)
	}
	return s, nil
}

// Kept says which rows cannot be had again: the figures of boxes, which may be away, and
// names. It is for kv.Kept.
func Kept(key, _ []byte) bool {
	switch key[0] {
	case ledgerRow, boxRow, nameRow:
		return true
	}
	return false
}

// ledgerID returns the number that tells this box's ledger from others, whatever
// identity the box has.
func ledgerID(t *kv.Table) (uint64, error) {
	b, err := t.Get([]byte{ledgerRow})
	if err == nil && len(b) == 8 {
		return binary.BigEndian.Uint64(b), nil
	}
	if err != nil && !isMissing(err) {
		return 0, err
	}
	b = make([]byte, 8)
	rand.Read(b) // never fails
	return binary.BigEndian.Uint64(b), t.Put([]byte{ledgerRow}, b)
}

// Run asks the other boxes until ctx ends, and then keeps what they told.
func (s *Site) Run(ctx context.Context) error {
	every := time.NewTicker(tick)
	defer every.Stop()
	var surveyed, tidied time.Time
	for {
		now := time.Now()
		counts, _ := s.Ledger.Totals()
		s.rates.sample(now, counts)
		if now.Sub(surveyed) >= surveyEvery {
			s.survey(now)
			surveyed = now
		}
		if s.Swarm != nil {
			s.ask(ctx)
		}
		if now.Sub(tidied) >= time.Minute {
			s.tidy(now)
			tidied = now
		}
		select {
		case <-ctx.Done():
			s.save(time.Now(), 0)
			return nil
		case <-every.C:
		}
	}
}

// Look says that somebody looks: figures are then at most some seconds old for a while.
func (s *Site) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = time.Now()
}

// Errors of what an administrator asks for.
var (
	ErrUnknownBox = errors.New("no box of this ID has told its figures")
	ErrConnected  = errors.New("the box is connected, and would tell its figures again at once")
	ErrFull       = errors.New("there are as many names as the site can have")
	ErrName       = errors.New("a name has 64 characters at most, none of them a control character")
	ErrPrivacy    = errors.New("names of clients are not kept (MILLPOND_PRIVACY)")
)

// Forget removes a box that is away, here and at the members of the swarm.
func (s *Site) Forget(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.boxes[id]
	switch now := time.Now(); {
	case r == nil:
		return ErrUnknownBox
	case !r.away(now):
		return ErrConnected
	default:
		if err := s.give(nameKey(forgottenBox, id), "gone", now); err != nil {
			return err
		}
		return s.drop(r)
	}
}

// Erase removes what is kept of a client: its name, and its hash from what other boxes
// told; known reports whether there was anything. A box that still has the client tells
// of it again, and this one, once the ledger has not, for surveyEvery at most.
func (s *Site) Erase(client netip.Addr) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hash(client)
	for _, r := range s.boxes {
		if r.clients.remove(h) {
			known = true
			s.changed++
			err = errors.Join(err, s.saveSets(r))
		}
	}
	key := nameKey(namedClient, s.clientKey(client))
	if s.names.all[key].text != "" {
		known = true
		err = errors.Join(err, s.give(key, "", time.Now()))
	}
	return known, err
}
