// Package inventory has the lists of blobs that boxes send each other.
//
// A Journal is this box's own inventory: it takes the events of a
// peer.Inventory and gives each reader, one per peer, first a full listing and
// then the changes, as Frames. A Set is the inventory received from one peer, within
// the Room that the swarm gives it. The first 8 bytes of a digest stand for a blob.
// Suspicions remember which peer did not have what its inventory lists, Missing
// which peer did not have a blob at all.
//
// The package does no I/O: the swarm sends and receives the Frames.
package inventory

import (
	"context"
	"slices"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// maxJournal changes are kept for readers that lag behind; one that lags
	// further gets a full listing. 1 MB.
	maxJournal = 32 << 10
	// maxDownloads bounds the downloads in progress that are listed.
	maxDownloads = 4096
	// gather is how long changes wait to be sent together. Downloads that begin
	// are sent at once: in a flash crowd the peers search for them immediately.
	gather = 200 * time.Millisecond
)

// Journal is this box's own inventory and what changed in it, for one reader
// per peer. It is safe for concurrent use.
type Journal struct {
	mu        sync.Mutex // guards the fields below
	held      prefixSet
	listing   bool      // between a Reset and a Synced event
	named     prefixSet // what the listing named so far
	downloads map[uint64]struct{}
	changes   []change // the last of them
	next      uint64   // number of the change that comes next

	changed broadcast.Signal // for readers
	dirty   broadcast.Wake   // for Run: changes wait
}

type change struct {
	prefix uint64
	kind   changeKind
}

type changeKind uint8

const (
	came changeKind = iota
	went
	begun
	ended
)

// NewJournal returns an empty one.
func NewJournal() *Journal {
	return &Journal{
		downloads: make(map[uint64]struct{}),
		next:      1,
		dirty:     broadcast.NewWake(),
	}
}

// Run wakes the readers soon after each change, until ctx ends.
func (j *Journal) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.dirty:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
			j.changed.Fire()
		}
	}
}

// Take applies an event of this box's peer.Inventory and reports whether the
// inventory changed. Blobs held before a Reset remain until the Synced that ends
// the listing; then those that the listing lacked are removed, so that readers
// get only the difference.
func (j *Journal) Take(e peer.Event) (changed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case e.Reset:
		j.listing, j.named = true, prefixSet{}
		return false
	case e.Synced:
		return j.sweep()
	}
	x := prefixOf(e.Digest)
	if j.listing {
		j.named.set(x, e.Held)
	}
	return j.hold(x, e.Held)
}

// hold adds or removes x.
func (j *Journal) hold(x uint64, held bool) (changed bool) {
	if !j.held.set(x, held) {
		return false
	}
	kind := went
	if held {
		kind = came
	}
	j.add(change{x, kind})
	return true
}

// sweep ends a listing: it removes what the listing did not name.
func (j *Journal) sweep() (changed bool) {
	if !j.listing {
		return false
	}
	named := j.named.list()
	for _, x := range j.held.list() {
		for len(named) > 0 && named[0] < x {
			named = named[1:]
		}
		if len(named) == 0 || named[0] != x {
			changed = j.hold(x, false) || changed
		}
	}
	j.listing, j.named = false, prefixSet{}
	return changed
}

// Holds reports whether d is in the inventory.
func (j *Journal) Holds(d digest.Digest) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held.has(prefixOf(d))
}

// Download records that a download of d began here, or that it ended. A begin
// wakes the readers at once. An end waits, so that it is not sent before the
// addition of the blob.
func (j *Journal) Download(d digest.Digest, on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := prefixOf(d)
	_, known := j.downloads[x]
	switch {
	case on && !known && len(j.downloads) < maxDownloads:
		j.downloads[x] = struct{}{}
		j.add(change{x, begun})
		j.changed.Fire()
	case !on && known:
		delete(j.downloads, x)
		j.add(change{x, ended})
	}
}

func (j *Journal) add(c change) {
	if len(j.changes) >= maxJournal {
		j.changes = slices.Delete(j.changes, 0, maxJournal/2)
	}
	j.changes = append(j.changes, c)
	j.next++
	j.dirty.Call()
}

// Since returns the frames for a reader that has the changes before from, the
// value of from for the next call, and a channel that is closed when there may be
// more. A new reader begins with 0; it gets a full listing, as does a reader that
// is too far behind.
func (j *Journal) Since(from uint64) (frames []Frame, to uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	more = j.changed.Wait()
	switch oldest := j.next - uint64(len(j.changes)); {
	case from == j.next:
	case from < oldest:
		frames = j.everything()
	default:
		frames = fold(from, j.changes[from-oldest:])
	}
	return frames, j.next, more
}

// everything returns a full listing and the downloads in progress.
func (j *Journal) everything() []Frame {
	var frames []Frame
	for part := range slices.Chunk(j.held.list(), prefixesFrame) {
		frames = append(frames, Frame{listing: true, listed: part, number: j.next})
	}
	if len(frames) == 0 {
		frames = append(frames, Frame{listing: true, number: j.next})
	}
	frames[0].first, frames[len(frames)-1].last = true, true
	if len(j.downloads) == 0 {
		return frames
	}
	under := make([]uint64, 0, len(j.downloads))
	for x := range j.downloads {
		under = append(under, x)
	}
	slices.Sort(under)
	return append(frames, Frame{from: j.next, to: j.next, begun: under})
}

// fold makes frames of changes, the first of which has the number from. Of several
// changes to one prefix only the last is kept.
func fold(from uint64, changes []change) []Frame {
	var frames []Frame
	for part := range slices.Chunk(changes, prefixesFrame) {
		held, downloads := make(map[uint64]changeKind), make(map[uint64]changeKind)
		for _, c := range part {
			if c.kind == came || c.kind == went {
				held[c.prefix] = c.kind
			} else {
				downloads[c.prefix] = c.kind
			}
		}
		f := Frame{from: from, to: from + uint64(len(part))}
		f.came, f.went = split(held, came)
		f.begun, f.ended = split(downloads, begun)
		frames = append(frames, f)
		from = f.to
	}
	return frames
}

// split returns the sorted prefixes that have kind and those that have another.
func split(changes map[uint64]changeKind, kind changeKind) (these, others []uint64) {
	for x, k := range changes {
		if k == kind {
			these = append(these, x)
		} else {
			others = append(others, x)
		}
	}
	slices.Sort(these)
	slices.Sort(others)
	return these, others
}
