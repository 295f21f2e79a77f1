package fetch

import (
	"context"
	"errors"
	"iter"
	"time"

	"millpond/internal/digest"
)

// Peers is the swarm as fetch sees it: the other boxes, and what they have. Its
// methods do not block, but for Find.
type Peers interface {
	// Neighbours are the connected boxes that list d as held, best first. A
	// look-up in memory with a certain no.
	Neighbours(d digest.Digest) []Peer
	// Downloading are the connected boxes that said they are downloading d.
	Downloading(d digest.Digest) []Peer
	// Elders are the boxes of this site that come before this one for d in
	// rendezvous order: they are asked to fetch it before this box asks the
	// mirror itself.
	Elders(d digest.Digest) []Peer
	// Find yields further boxes that hold d, as the DHT knows them. It may
	// take its time, and ends with ctx.
	Find(ctx context.Context, d digest.Digest) iter.Seq[Peer]
	// Announce tells the neighbours that d is being downloaded here, or no
	// longer.
	Announce(d digest.Digest, on bool)
}

// Peer is another box. What it says is not trusted.
type Peer interface {
	String() string // for logs
	ID() string
	// Nearby tells that the box is of this site.
	Nearby() bool
	// Open asks for n bytes of d from off on, to the end for 0. With fetch the
	// box is asked to download d if it lacks it; its answer comes at once and
	// the bytes as they arrive there. fs.ErrNotExist: it has not, and will not;
	// ErrBusy: not now. The stream ends with ctx as well.
	Open(ctx context.Context, d digest.Digest, off, n int64, fetch bool) (*Stream, error)
	// Manifest is the digests of d's pieces, as the box says.
	Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error)
	// Pieces tells which pieces of a download under way the box has: bit i of
	// byte i/8, low bit first.
	Pieces(ctx context.Context, d digest.Digest) (size int64, have []byte, err error)
	// Report tells how a transfer went, for the box's score. It does not block.
	Report(Outcome)
}

// ErrBusy is what Open says of a box that serves enough others.
var ErrBusy = errors.New("the peer is busy")

// Outcome is how a transfer went.
type Outcome struct {
	Bytes int64
	Took  time.Duration
	Fault Fault
	Why   string // with a Fault
}

// Fault is what a provider did wrong.
type Fault uint8

// What providers do wrong, from bad to worse.
const (
	None   Fault = iota
	Slow         // stalled, or missed a piece's time-out
	Failed       // broke off, lacked what it had listed, or passed on wrong bytes
	Lied         // sent bytes, or a manifest, that are not the file's
)
