package fetch

import "time"

// waits are how long boxes wait for each other. Tests shorten them.
type waits struct {
	// headStart is how long the DHT may look at most before the mirror is asked
	// too; usually it is twice the time that answers take.
	// In a swarm of up to twenty boxes every record is at hand, and found in
	// under a millisecond; past this a cold download would be noticeably
	// slower for having looked for peers.
	headStart time.Duration
	// lookup is how long the DHT may look at all.
	lookup time.Duration
	// holder is how long a box that holds a file may take for leastRead
	// bytes, the first ones with the answer.
	holder time.Duration
	// relay is how long a box that is itself downloading may be silent: its
	// mirror may be slow to answer. Together with holder it stays well below
	// the 30 s after which apt gives up.
	relay time.Duration
	// piece is how long a piece may take: a client that waits for one gets
	// nothing meanwhile. It stands for 256 KiB/s; what is slower is better
	// streamed.
	piece time.Duration
	// again is how often a box that is downloading is asked what it has got.
	again time.Duration
	// patience is how long a gathering waits for such boxes to get more.
	patience time.Duration
	// acquaintance is how long a peer that counts on this box waits while the
	// box is itself in the middle of an update, and so may be about to learn
	// of the file. When a whole site updates at once the boxes learn within
	// moments of each other.
	acquaintance time.Duration
}

func defaultWaits() waits {
	return waits{
		headStart: 15 * time.Millisecond, lookup: 10 * time.Second,
		holder: 4 * time.Second, relay: 12 * time.Second, piece: 16 * time.Second,
		again: 250 * time.Millisecond, patience: 4 * time.Second,
		acquaintance: 1500 * time.Millisecond,
	}
}
