package fetch

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// Peers is the swarm as fetch sees it: the other boxes, and what they have.
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
	// Find yields further boxes that hold d, as the DHT knows them.
	Find(ctx context.Context, d digest.Digest) iter.Seq[Peer]
	// Announce tells the neighbours that d is being downloaded here, or no
	// longer.
	Announce(d digest.Digest, on bool)
}

// Peer is another box.
type Peer interface {
	String() string
	// Nearby tells that the box is of this site.
	Nearby() bool
	// Open asks for n bytes of d from off on, to the end for 0. With fetch the
	// box is asked to download d if it lacks it; its answer comes at once and
	// the bytes as they arrive there. fs.ErrNotExist: it has not, and will not.
	Open(ctx context.Context, d digest.Digest, off, n int64, fetch bool) (*Stream, error)
	// Manifest is the digests of d's pieces, as the box says.
	Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error)
	// Pieces tells which pieces of a download under way the box has: bit i of
	// byte i/8, low bit first.
	Pieces(ctx context.Context, d digest.Digest) (size int64, have []byte, err error)
	// Report tells how a transfer went, for the box's score.
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
	Failed       // broke off, or lacked what it had listed
	Lied         // sent bytes that are not the file's
)

// headStart is how long the DHT may look before the mirror is asked too. In a
// swarm of up to twenty boxes every record is at hand, and found in under a
// millisecond; past this a cold download would be noticeably slower for having
// looked for peers.
const headStart = 15 * time.Millisecond

// Swarm is the peers as a Source.
type Swarm struct{ Peers Peers }

var _ Source = Swarm{}

// Find implements Source: boxes that hold the file, boxes that are
// downloading it, boxes of this site that ought to, and what the DHT finds in
// time. Only what a signed Release lists is asked for.
func (s Swarm) Find(ctx context.Context, e catalog.Entry) iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		if !e.Signed {
			return
		}
		seen := make(map[string]bool)
		offer := func(p Peer, state peerState) bool {
			if seen[p.String()] {
				return true
			}
			seen[p.String()] = true
			return yield(&peerFile{peer: p, digest: e.Digest, state: state})
		}
		for _, group := range []struct {
			peers []Peer
			state peerState
		}{
			{s.Peers.Neighbours(e.Digest), whole},
			{s.Peers.Downloading(e.Digest), growing},
			{s.Peers.Elders(e.Digest), elder},
		} {
			for _, p := range group.peers {
				if !offer(p, group.state) {
					return
				}
			}
		}
		ctx, cancel := context.WithTimeout(ctx, headStart)
		defer cancel()
		for p := range s.Peers.Find(ctx, e.Digest) {
			if !offer(p, whole) {
				return
			}
		}
	}
}

// peerState is what a box is to a file.
type peerState uint8

const (
	whole   peerState = iota // holds it
	growing                  // is downloading it
	elder                    // is to download it
)

// peerFile is a file at a peer.
type peerFile struct {
	peer   Peer
	digest digest.Digest
	state  peerState
}

var _ Provider = (*peerFile)(nil)

func (p *peerFile) String() string        { return "peer " + p.peer.String() }
func (p *peerFile) Origin() ledger.Origin { return ledger.FromPeer }
func (p *peerFile) Report(o Outcome)      { p.peer.Report(o) }

// Open implements Provider. That a box which only might have had the file
// does not have it is no fault of the box.
func (p *peerFile) Open(ctx context.Context, off, n int64) (*Stream, error) {
	s, err := p.peer.Open(ctx, p.digest, off, n, p.state == elder)
	if errors.Is(err, fs.ErrNotExist) && p.state == whole {
		p.Report(Outcome{Fault: Failed, Why: "did not have what it lists"})
	}
	return s, err
}
