package swarm

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// inventoryProtocol is one stream from each box to each other one that it is
// connected to, on which it tells for as long as they are connected what it
// holds. Nothing is sent the other way.
const inventoryProtocol protocol.ID = "/millpond/inventory/1"

const (
	tellTimeout  = 30 * time.Second // to open a stream, and to write to it
	leastBackoff = time.Second
	mostBackoff  = time.Minute

	// What is listed beyond these is not kept; the DHT answers for it.
	maxEntries    = 2 << 20 // of a box: 16 MB
	entriesMemory = 8       // all boxes together: memory/entriesMemory bytes
	entrySize     = 8

	// doubtFor is how long a box is not asked again for what it listed and did
	// not have. doubtGrace is how long its word that the blob went may take to
	// get here, and manyDoubts without such word are no accident. For a download
	// doubtGrace is all: it may be told of before its first byte can be had.
	doubtFor   = 10 * time.Minute
	doubtGrace = 5 * time.Second
	manyDoubts = 3
	maxDoubts  = 4096
)

// inventories is what the connected boxes said that they hold.
type inventories struct {
	swarm   *Swarm
	journal *journal
	room    atomic.Int64  // entries for which there still is memory
	links   chan struct{} // holds one token while wanted has changed

	mu     sync.Mutex // guards the fields below
	wanted map[p2p.ID]struct{}
	boxes  map[p2p.ID]*inventory
	doubts map[doubt]time.Time
}

type doubt struct {
	id     p2p.ID
	prefix uint64
}

func newInventories(s *Swarm) *inventories {
	v := &inventories{
		swarm:   s,
		journal: newJournal(),
		links:   make(chan struct{}, 1),
		wanted:  make(map[p2p.ID]struct{}),
		boxes:   make(map[p2p.ID]*inventory),
		doubts:  make(map[doubt]time.Time),
	}
	memory := s.options.Memory
	if memory <= 0 {
		memory = defaultMemory
	}
	v.room.Store(memory / entriesMemory / entrySize)
	return v
}

// run tells and listens until ctx ends. Part of Run's group.
func (v *inventories) run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { v.journal.run(ctx, v.swarm.options.Holdings) })
	v.swarm.host.SetStreamHandler(inventoryProtocol, func(st network.Stream) { v.listen(ctx, st) })
	defer v.swarm.host.RemoveStreamHandler(inventoryProtocol)
	telling := make(map[p2p.ID]context.CancelFunc)
	for {
		v.mu.Lock()
		for id, stop := range telling {
			if _, ok := v.wanted[id]; !ok {
				stop()
				delete(telling, id)
			}
		}
		for id := range v.wanted {
			if telling[id] == nil {
				ctx, stop := context.WithCancel(ctx)
				telling[id] = stop
				parts.Go(func() { v.telling(ctx, id) })
			}
		}
		v.mu.Unlock()
		select {
		case <-ctx.Done():
			for _, stop := range telling {
				stop()
			}
			return nil
		case <-v.links:
		}
	}
}

// connected and disconnected come in order for each box and must not block.
func (v *inventories) connected(id p2p.ID)    { v.want(id, true) }
func (v *inventories) disconnected(id p2p.ID) { v.want(id, false) }

func (v *inventories) want(id p2p.ID, on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if on {
		v.wanted[id] = struct{}{}
	} else {
		delete(v.wanted, id)
	}
	select {
	case v.links <- struct{}{}:
	default:
	}
}

// telling keeps a stream to id until ctx ends.
func (v *inventories) telling(ctx context.Context, id p2p.ID) {
	for backoff := leastBackoff; ; backoff = min(2*backoff, mostBackoff) {
		begun := time.Now()
		err := v.tell(ctx, id)
		if ctx.Err() != nil {
			return
		}
		v.swarm.log.Debug("telling a box what is held here broke off", "peer", id, "err", err)
		if time.Since(begun) > mostBackoff {
			backoff = leastBackoff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
	}
}

// tell writes to one stream until it breaks.
func (v *inventories) tell(ctx context.Context, id p2p.ID) error {
	opening, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	st, err := v.swarm.host.NewStream(network.WithNoDial(opening, "inventory"), id, inventoryProtocol)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	gone := make(chan struct{})
	defer func() {
		st.Reset()
		<-gone
	}()
	go func() { // a box that gives up resets the stream
		defer close(gone)
		st.Read(make([]byte, 1))
	}()
	at := uint64(0)
	for {
		var frames []frame
		var more <-chan struct{}
		frames, at, more = v.journal.since(at)
		st.SetWriteDeadline(time.Now().Add(tellTimeout))
		for _, f := range frames {
			if _, err := st.Write(f.append(nil)); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			return errors.New("the box gave up")
		case <-more:
		}
	}
}

// listen reads what a box tells until the stream breaks, then forgets it.
func (v *inventories) listen(ctx context.Context, st network.Stream) {
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	id := st.Conn().RemotePeer()
	inv := &inventory{owner: v, id: id, room: maxEntries, downloads: make(map[uint64]struct{}), stop: st.Reset}
	v.mu.Lock()
	if before := v.boxes[id]; before != nil {
		before.stop()
	}
	v.boxes[id] = inv
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		if v.boxes[id] == inv {
			delete(v.boxes, id)
		}
		v.mu.Unlock()
		inv.close()
	}()
	r := bufio.NewReader(st)
	for {
		f, err := readFrame(r)
		if err == nil {
			err = inv.take(f)
		}
		switch {
		case errors.Is(err, errFrame) && !errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil && !isReset(err):
			v.swarm.fault(id, peer.Failed, err.Error())
			return
		case err != nil:
			return
		}
	}
}

// isReset tells a frame that was cut off by the stream's end from a bad one.
func isReset(err error) bool {
	return errors.Is(err, network.ErrReset) || errors.Is(err, io.EOF)
}

// held is the number of entries in id's inventory, for Peers.
func (v *inventories) held(id p2p.ID) int64 {
	v.mu.Lock()
	inv := v.boxes[id]
	v.mu.Unlock()
	if inv == nil {
		return 0
	}
	return inv.count()
}

// neighbour tells whether Neighbours has id for d: Find leaves those out.
func (v *inventories) neighbour(id p2p.ID, d digest.Digest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	inv := v.boxes[id]
	return inv != nil && inv.has(prefixOf(d)) && !v.doubted(id, prefixOf(d), doubtFor)
}

// find lists the boxes for which in is true, best first; those that are banned,
// rest, are silent or did not have it within the last doubt are left out.
func (v *inventories) find(x uint64, in func(*inventory, uint64) bool, doubt time.Duration) []*Peer {
	v.mu.Lock()
	var ids []p2p.ID
	for id, inv := range v.boxes {
		if in(inv, x) && !v.doubted(id, x, doubt) {
			ids = append(ids, id)
		}
	}
	v.mu.Unlock()
	type ranked struct {
		id   p2p.ID
		cost time.Duration
	}
	var list []ranked
	for _, id := range ids {
		if cost, ok := v.swarm.cost(id); ok {
			list = append(list, ranked{id, cost})
		}
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.id, b.id))
	})
	peers := make([]*Peer, len(list))
	for i, r := range list {
		peers[i] = v.swarm.peer(r.id)
	}
	return peers
}

// Neighbours returns the connected boxes whose inventory lists d (complete),
// best first. A look-up in memory.
func (s *Swarm) Neighbours(d digest.Digest) []*Peer {
	return s.inventories.find(prefixOf(d), (*inventory).has, doubtFor)
}

// Downloading returns the connected boxes that said they are downloading d,
// best first.
func (s *Swarm) Downloading(d digest.Digest) []*Peer {
	return s.inventories.find(prefixOf(d), (*inventory).downloading, doubtGrace)
}

// Announce tells the neighbours that d is being downloaded here (true), or no
// longer. Beyond 4096 at a time nobody is told.
func (s *Swarm) Announce(d digest.Digest, on bool) { s.inventories.journal.download(d, on) }
