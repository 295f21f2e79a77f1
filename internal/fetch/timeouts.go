package fetch

import (
	"time"

	"millpond/internal/fetch/pieces"
	"millpond/internal/peer"
)

// timeouts are how long boxes wait for each other, where patience does not say so
// sooner. Tests shorten them.
type timeouts struct {
	// headStart is how long at most the DHT may search before the mirror is
	// asked too; usually it is twice the time that answers take. In a swarm of
	// up to twenty boxes every record is at hand, and found in under a
	// millisecond; past this a cold download would be noticeably slower for
	// having looked for peers.
	headStart time.Duration
	// lookup is how long the DHT may search in all.
	lookup time.Duration
	// seed is how long a peer that holds a file may take for seedBytes, the
	// first ones with the answer, where there is no source left to ask beside it;
	// and with pieces, whose sources are not asked beside each other.
	seed time.Duration
	// downloader is how long a peer that is itself downloading may be silent then:
	// its mirror may be slow to answer. Together with seed it stays well below
	// the 30 s after which apt gives up.
	downloader time.Duration
	// piece is how long a piece may take: a client that waits for one gets
	// nothing meanwhile. It stands for 256 KiB/s; what is slower is better
	// streamed.
	piece time.Duration
	// poll is how often a peer that is downloading is asked what it has.
	poll time.Duration
	// stall is how long a download waits for such peers to get more.
	stall time.Duration
	// learnGrace is how long a peer that relies on this box waits while the
	// box is itself in the middle of an update, and so may be about to learn
	// of the file. When a whole site updates at once the boxes learn within
	// moments of each other.
	learnGrace time.Duration
	// whole is how long a large file from peers may take before its pieces are given
	// out one by one, when they are vouched for: a file that arrives within it is
	// verified whole first. It leaves twice as long before apt gives up.
	whole time.Duration
	// keepAlive is how long a client may wait for bytes of a file that peers send, before
	// it gets some of the mirror's. apt gives up after 30 s.
	keepAlive time.Duration
	// settle is how long the catalog must be quiet before the store is looked
	// through again for what may now be given to peers. An update of a client
	// brings several indices.
	settle time.Duration
}

func defaultTimeouts() timeouts {
	return timeouts{
		headStart: 15 * time.Millisecond, lookup: 10 * time.Second,
		seed: 4 * time.Second, downloader: 12 * time.Second, piece: 16 * time.Second,
		poll: 250 * time.Millisecond, stall: 4 * time.Second,
		learnGrace: 1500 * time.Millisecond, settle: 5 * time.Second,
		whole: 10 * time.Second, keepAlive: 10 * time.Second,
	}
}

// seedBytes is what a seed must send in timeouts.seed, or another source takes
// its place: 16 KiB/s.
const seedBytes = 64 << 10

// pace is what a stream from a peer of that kind must keep up.
func (t timeouts) pace(k peerKind) peer.Pace {
	if k == seed {
		return peer.Pace{Bytes: seedBytes, Per: t.seed}
	}
	return peer.Pace{Bytes: 1, Per: t.downloader}
}

// forPieces are those of a download in pieces.
func (t timeouts) forPieces() pieces.Timeouts {
	return pieces.Timeouts{Piece: t.piece, Answer: t.seed, Poll: t.poll, Stall: t.stall}
}
