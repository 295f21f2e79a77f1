// Package peer has the types that fetch, which downloads, and swarm, which
// connects to other boxes, share. It has no state and does no I/O.
//
// A Peer is another box: fetch opens Streams from it and reports each Outcome.
// Swarm finds peers for a digest. Inventory and Releases are the other direction: what
// this box offers to its peers. Data from a peer is never trusted; the digest in the
// signed index decides.
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
	// ErrBusy means that all upload slots of a peer are taken; a later request
	// may succeed.
	ErrBusy = errors.New("the peer is busy")
	// ErrStalled means that a peer fell below the Pace of a request. Errors that
	// wrap it name the peer.
	ErrStalled = errors.New("the peer stalled")
	// ErrSilent means that a peer gave no sign of having read a request.
	ErrSilent = errors.New("the peer gave no sign")
)

// Swarm finds the boxes that have a file. Only Find blocks.
type Swarm interface {
	// Seeds returns the neighbours that list d in their inventory, best first. The
	// lookup is in memory.
	Seeds(d digest.Digest) []Peer
	// Downloaders returns the neighbours that announced a download of d, best
	// first.
	Downloaders(d digest.Digest) []Peer
	// Owners returns the boxes of this site that rank above this one for d by
	// rendezvous hashing, highest first. This box asks them to fetch d before it
	// asks the mirror itself.
	Owners(d digest.Digest) []Peer
	// Find yields further boxes that hold d according to the DHT. It blocks while
	// it searches, and ends when ctx does.
	Find(ctx context.Context, d digest.Digest) iter.Seq[Peer]
	// Widest is the least of the kinds that may be in the swarm: what is looked for
	// and announced must be for boxes of that kind.
	Widest() Kind
	// Announce announces to the neighbours that a download of d began here, or
	// that it ended.
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
	// Standing is what this box knows about the peer now.
	Standing() Standing
	// Open requests bytes of d and returns when the peer has accepted the
	// request, which may be before it has the first byte. The error is
	// fs.ErrNotExist if the peer neither has d nor will fetch it, ErrBusy if it has
	// no free slot, ErrStalled if it did not answer in time. The stream ends when
	// ctx does.
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
	// Release asks the peer, a member or a local box, for the Release of a suite. It
	// waits 100 ms for a sign that the peer knows the suite, and then, while that asks
	// its mirror, until ctx ends. The error is fs.ErrNotExist if the peer has no answer,
	// ErrSilent without a sign, and ErrStalled without an answer after one. What the
	// bytes are is for the caller to find out; an answer that no honest box gives is
	// reported by Release itself.
	Release(ctx context.Context, q ReleaseQuery) (ReleaseAnswer, error)
	// Report records the outcome of a transfer in the peer's score. It does not
	// block.
	Report(Outcome)
}

// Request is for N bytes from Off on; for N = 0, to the end.
type Request struct {
	Off, N int64
	// Fetch says whether the peer is to download the file itself if it lacks it. It
	// then answers at once and forwards the bytes as it receives them.
	Fetch Fetch
	// Pace is the minimum speed of the stream, the first bytes included. Zero
	// leaves it to the swarm: a byte in each 4 s, and the first of a Fetch in 10.
	Pace Pace
}

// Fetch says what a peer is to do about a file that it lacks.
type Fetch uint8

const (
	// NoFetch: nothing. It sends what it holds, or is downloading.
	NoFetch Fetch = iota
	// FetchAnywhere: it downloads the file as for a client of its own.
	FetchAnywhere
	// FetchFromMirror: it asks the mirror, and peers only if that does not answer,
	// because those that were asked before it were silent, slow or sent wrong bytes.
	FetchFromMirror
)

// Standing is what a box knows about a peer from its own experience.
type Standing struct {
	Kind Kind
	// Proven says that the peer has a record: it has sent this box many bytes of files
	// that turned out right, and none that are wrong since.
	Proven bool
	// Party is the network of the peer's address: two peers with the same one may be
	// one. It is empty if it is not known.
	Party string
}

// Pace is a minimum speed: Bytes within each Per of time spent waiting for the
// peer. Time between the reads does not count.
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
	Led      bool      // a redirect led to another host, the next one may lead elsewhere
	Cached   bool      // a cache on the way to the mirror answered
}

// Outcome is the result of a transfer: Bytes in Took, or a Fault; or, once the whole
// file was verified, how many of its bytes the peer had sent.
type Outcome struct {
	Bytes int64
	Took  time.Duration
	Right int64
	Fault Fault
	Why   string // with a Fault
}

// Fault is what a peer did wrong.
type Fault uint8

// Faults in ascending order of severity.
const (
	None    Fault = iota
	Slow          // much slower than another source
	Stalled       // sent nothing for a while, in which another source sent what was asked for
	Failed        // broke off, or lacked what it listed
	Lied          // sent bytes, a manifest or an inventory that are false
)

// String returns the fault as one word, for logs.
func (f Fault) String() string { return [...]string{"none", "slow", "stalled", "failed", "lied"}[f] }
