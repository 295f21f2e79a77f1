// Package peer is the vocabulary that fetch, which downloads, and swarm, which
// knows the other boxes, share. It has no state and does no I/O.
//
// A Peer is another box: fetch opens Streams at it and reports each Outcome.
// Swarm finds peers for a digest. Inventory is the other direction: what this
// box offers to its peers. Nothing a peer says or sends is trusted; the digest
// in the signed index decides.
package peer

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"millpond/internal/digest"
)

var (
	// ErrBusy says that a peer serves as many others as it will; to be asked
	// again later.
	ErrBusy = errors.New("the peer is busy")
	// ErrStalled says that a peer fell below the Pace of a request. Errors that
	// wrap it name the peer.
	ErrStalled = errors.New("the peer stalled")
)

// Swarm is the other boxes and what they have. Its methods do not block,
// except for Find.
type Swarm interface {
	// Seeds are the neighbours that list d in their inventory, best first. The
	// lookup is in memory, and a miss is certain.
	Seeds(d digest.Digest) []Peer
	// Downloaders are the neighbours that said they are downloading d, best
	// first.
	Downloaders(d digest.Digest) []Peer
	// Owners are the boxes of this site that rank above this one for d by
	// rendezvous hashing, the highest first. They are asked to fetch d before
	// this box asks the mirror itself.
	Owners(d digest.Digest) []Peer
	// Find yields further boxes that hold d according to the DHT. It may block
	// between two, and ends when ctx does.
	Find(ctx context.Context, d digest.Digest) iter.Seq[Peer]
	// Announce tells the neighbours that d is being downloaded here, or no
	// longer.
	Announce(d digest.Digest, on bool)
}

// Peer is another box. It may have disconnected; requests to it then fail.
type Peer interface {
	// String is the short form of the peer ID, for logs.
	String() string
	// ID is the peer ID.
	ID() string
	// Nearby reports whether the peer belongs to this site.
	Nearby() bool
	// Open requests bytes of d and returns when the peer has accepted the
	// request, which may be before it has the first byte. fs.ErrNotExist says
	// that the peer does not have d and will not; ErrBusy, not now; ErrStalled,
	// no answer in time. The stream ends when ctx does.
	//
	// Open reports two faults by itself, which the caller must not report
	// again: fs.ErrNotExist from a peer that claims to hold d, in its inventory
	// or in the DHT, and an answer that no honest box gives.
	Open(ctx context.Context, d digest.Digest, r Request) (*Stream, error)
	// Manifest returns the digests of d's pieces as the peer states them.
	// Errors are as for Open.
	Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error)
	// Pieces returns which pieces of d, which it is downloading, the peer has.
	// size is the whole file's, in bytes. Errors are as for Open.
	Pieces(ctx context.Context, d digest.Digest) (size int64, have Bitfield, err error)
	// Report tells how a transfer went, for the peer's score. It does not
	// block.
	Report(Outcome)
}

// Request is for N bytes from Off on; for N = 0, to the end.
type Request struct {
	Off, N int64
	// Fetch asks the peer to download the file itself if it lacks it. Its
	// answer comes at once, and the bytes as they arrive there.
	Fetch bool
	// Pace is what the stream must keep up, the first bytes included.
	Pace Pace
}

// Pace is a lower bound on speed: Bytes in each stretch of Per that is spent
// waiting for the peer. Time that the reader spends elsewhere does not count.
// A stream that falls below it fails with ErrStalled.
type Pace struct {
	Bytes int
	Per   time.Duration
}

// Stream is the answer to a Request. It must be closed; closing it early stops
// the sender.
type Stream struct {
	io.ReadCloser
	Off      int64     // where the stream begins; 0 although more was asked for: the range was ignored
	Size     int64     // of the whole file in bytes; -1 if it is not known
	Modified time.Time // zero if it is not known
}

// Outcome is how a transfer went: well, with Bytes in Took, or with a Fault.
type Outcome struct {
	Bytes int64
	Took  time.Duration
	Fault Fault
	Why   string // with a Fault
}

// Fault is what a peer did wrong.
type Fault uint8

// Faults from bad to worse.
const (
	None   Fault = iota
	Slow         // stalled, or missed a piece's deadline
	Failed       // broke off, or lacked what it listed
	Lied         // sent bytes, a manifest or an inventory that are false
)

// String is the fault in one word, for logs.
func (f Fault) String() string { return [...]string{"none", "slow", "failed", "lied"}[f] }
