package swarm

import (
	"context"
	"slices"
	"sync"
	"time"

	"millpond/internal/digest"
)

const (
	// maxJournal changes are kept for those who are told of them late; who is
	// later still is told everything. 1 MB.
	maxJournal = 32 << 10
	// maxDownloads may be under way and be told of.
	maxDownloads = 4096
	// gather is how long changes wait for more to go with them. Downloads that
	// begin do not wait: in a flash crowd the others look for them at once.
	gather = 200 * time.Millisecond
)

// journal is this box's own inventory and what changed in it, for one reader
// per peer.
type journal struct {
	mu        sync.Mutex // guards the fields below
	held      prefixSet
	downloads map[uint64]struct{}
	changes   []change // the last of them
	next      uint64   // number of the change that comes next
	told      chan struct{}

	dirty chan struct{} // holds one token while changes wait for publish
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

func newJournal() *journal {
	return &journal{
		downloads: make(map[uint64]struct{}),
		next:      1,
		told:      make(chan struct{}),
		dirty:     make(chan struct{}, 1),
	}
}

// run follows h until ctx ends.
func (j *journal) run(ctx context.Context, h Holdings) {
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { j.publishing(ctx) })
	for change := range h.Watch(ctx) {
		j.hold(change)
	}
}

// publishing wakes the readers gather after the first change.
func (j *journal) publishing(ctx context.Context) {
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
			j.mu.Lock()
			j.publish()
			j.mu.Unlock()
		}
	}
}

// hold takes a line of Holdings' listing in.
func (j *journal) hold(h Holding) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := prefixOf(h.Digest)
	switch {
	case h.Reset: // no reader is now anywhere in changes: each gets a listing
		j.held, j.changes = prefixSet{}, nil
		j.next++
		j.touch()
	case !j.held.set(x, h.Held):
	case h.Held:
		j.add(change{x, came})
	default:
		j.add(change{x, went})
	}
}

// download tells at once of one that begins. One that ended may wait, so that
// it does not come before the word that the blob is held.
func (j *journal) download(d digest.Digest, on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := prefixOf(d)
	_, known := j.downloads[x]
	switch {
	case on && !known && len(j.downloads) < maxDownloads:
		j.downloads[x] = struct{}{}
		j.add(change{x, begun})
		j.publish()
	case !on && known:
		delete(j.downloads, x)
		j.add(change{x, ended})
	}
}

func (j *journal) add(c change) {
	if len(j.changes) >= maxJournal {
		j.changes = slices.Delete(j.changes, 0, maxJournal/2)
	}
	j.changes = append(j.changes, c)
	j.next++
	j.touch()
}

func (j *journal) touch() {
	select {
	case j.dirty <- struct{}{}:
	default:
	}
}

func (j *journal) publish() {
	close(j.told)
	j.told = make(chan struct{})
}

// since returns the frames for a reader who knows of the changes before from,
// where it then stands, and what is closed when there may be more. A reader
// who knows nothing, or too little, gets a listing: 0 stands for that.
func (j *journal) since(from uint64) (frames []frame, to uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch oldest := j.next - uint64(len(j.changes)); {
	case from == j.next:
	case from < oldest:
		frames = j.everything()
	default:
		frames = fold(from, j.changes[from-oldest:])
	}
	return frames, j.next, j.told
}

// everything is a listing and the downloads under way.
func (j *journal) everything() []frame {
	var frames []frame
	for part := range slices.Chunk(j.held.list(), prefixesFrame) {
		frames = append(frames, frame{listing: true, listed: part, number: j.next})
	}
	if len(frames) == 0 {
		frames = append(frames, frame{listing: true, number: j.next})
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
	return append(frames, frame{from: j.next, to: j.next, begun: under})
}

// fold puts changes, the first of which has the number from, into frames: of
// several to one prefix the last counts.
func fold(from uint64, changes []change) []frame {
	var frames []frame
	for part := range slices.Chunk(changes, prefixesFrame) {
		held, downloads := make(map[uint64]changeKind), make(map[uint64]changeKind)
		for _, c := range part {
			if c.kind == came || c.kind == went {
				held[c.prefix] = c.kind
			} else {
				downloads[c.prefix] = c.kind
			}
		}
		f := frame{from: from, to: from + uint64(len(part))}
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
