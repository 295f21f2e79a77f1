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
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
	"millpond/internal/swarm/quota"
)

// inventoryProtocol is one stream from each box to each neighbour. The box sends
// its inventory on it for as long as they are connected; the neighbour sends
// nothing.
const inventoryProtocol protocol.ID = "/millpond/inventory/1"

const (
	tellTimeout = 30 * time.Second // to open a stream, and to write to it
	minBackoff  = time.Second
	maxBackoff  = time.Minute

	// A neighbour may send a listing of as many entries as are kept at once, and
	// then as many changes as a box that learns several indices a second.
	tellBurst = 16 << 20 // bytes
	tellPace  = 1 << 20  // per second
)

// inventories exchanges inventories with the neighbours.
type inventories struct {
	swarm      *Swarm
	journal    *inventory.Journal
	entries    *quota.Quota[lister] // of all neighbours' inventories
	pace       *pace                // in bytes
	suspicions inventory.Suspicions
	rewanted   broadcast.Wake // wanted changed
	reviewed   broadcast.Signal

	mu     sync.Mutex // guards the fields below
	wanted map[p2p.ID]struct{}
	told   map[p2p.ID]*told
}

// told is the inventory of one neighbour and the stream that it arrives on.
type told struct {
	*inventory.Set
	room  *room
	reset func() error
}

func newInventories(s *Swarm) *inventories {
	weight := int64(networkWeight)
	if s.private() {
		weight = 1
	}
	return &inventories{
		swarm:    s,
		journal:  inventory.NewJournal(),
		entries:  quota.New[lister](boundsOf(s.options.Memory, s.options.Files).inventory, weight),
		pace:     newPace(tellPace, tellBurst),
		rewanted: broadcast.NewWake(),
		wanted:   make(map[p2p.ID]struct{}),
		told:     make(map[p2p.ID]*told),
	}
}

// run sends and receives inventories until ctx ends. Part of Run's group.
func (v *inventories) run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { v.journal.Run(ctx) })
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
		case <-v.rewanted:
		}
	}
}

// review begins to exchange inventories with id, or ends it, as its connection and
// its kind now demand. It does not block.
func (v *inventories) review(id p2p.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, wanted := v.wanted[id]
	may := v.may(id)
	if may {
		v.wanted[id] = struct{}{}
	} else {
		delete(v.wanted, id)
		if n := v.told[id]; n != nil {
			_ = n.reset() // the stream is abandoned either way
		}
	}
	if may != wanted {
		v.rewanted.Call()
	}
	v.reviewed.Fire()
}

// may reports whether inventories are exchanged with id.
func (v *inventories) may(id p2p.ID) bool {
	return !v.swarm.boxes.connectedSince(id).IsZero() && v.swarm.may(id, exchange)
}

// admit waits while it is not known what id is, which is until it has answered the
// first pings. It returns nil if its inventory is not for this box.
func (v *inventories) admit(ctx context.Context, id p2p.ID, st network.Stream) *told {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	for {
		reviewed := v.reviewed.Wait()
		if n := v.begin(id, st); n != nil || v.swarm.rtts.min(id) > 0 {
			return n
		}
		select {
		case <-ctx.Done():
			return nil
		case <-reviewed:
		}
	}
}

// begin makes st the stream of id's inventory, if there may be one.
func (v *inventories) begin(id p2p.ID, st network.Stream) *told {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.may(id) {
		return nil
	}
	if before := v.told[id]; before != nil {
		_ = before.reset() // the stream is abandoned either way
	}
	r := &room{all: v.entries, of: v.lister(id)}
	n := &told{inventory.NewSet(r), r, st.Reset}
	v.told[id] = n
	return n
}

// telling keeps a stream to id open until ctx ends.
func (v *inventories) telling(ctx context.Context, id p2p.ID) {
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		begun := time.Now()
		err := v.tell(ctx, id)
		if ctx.Err() != nil {
			return
		}
		v.swarm.log.Debug("inventory stream broken, retrying", "peer", id, "err", err)
		if time.Since(begun) > maxBackoff {
			backoff = minBackoff
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
	go func() { // a peer that stops reading resets the stream
		defer close(gone)
		_, _ = st.Read(make([]byte, 1)) // returns when the stream ends
	}()
	at := uint64(0)
	for {
		var frames []inventory.Frame
		var more <-chan struct{}
		frames, at, more = v.journal.Since(at)
		st.SetWriteDeadline(time.Now().Add(tellTimeout))
		for _, f := range frames {
			if _, err := st.Write(f.Append(nil)); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			return errors.New("the peer reset the stream")
		case <-more:
		}
	}
}

// listen reads a neighbour's inventory until the stream ends, then drops it.
func (v *inventories) listen(ctx context.Context, st network.Stream) {
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	id := st.Conn().RemotePeer()
	n := v.admit(ctx, id, st)
	if n == nil {
		return
	}
	defer func() {
		v.mu.Lock()
		if v.told[id] == n {
			delete(v.told, id)
		}
		v.mu.Unlock()
		n.Close()
	}()
	err := v.take(id, n, bufio.NewReader(&pacedReader{ctx, v.pace, id, st}))
	if errors.Is(err, inventory.ErrFrame) && !errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil && !isReset(err) {
		v.swarm.fault(id, peer.Failed, err.Error())
	}
}

// take reads frames into n until there is an error.
func (v *inventories) take(id p2p.ID, n *told, r *bufio.Reader) error {
	for {
		f, err := inventory.Read(r)
		if err != nil {
			return err
		}
		v.makeRoom(n.room, f.Adds())
		if err := n.Take(f); err != nil {
			return err
		}
		v.suspicions.Clear(id.String(), f)
	}
}

// isReset reports whether the stream's end cut off a frame.
func isReset(err error) bool {
	return errors.Is(err, network.ErrReset) || errors.Is(err, io.EOF)
}

// of returns the inventory of id; nil if there is none.
func (v *inventories) of(id p2p.ID) *told {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told[id]
}

// held returns the number of entries in id's inventory, for Peers.
func (v *inventories) held(id p2p.ID) int64 {
	if n := v.of(id); n != nil {
		return n.Count()
	}
	return 0
}

// lists reports whether Seeds returns id for d.
func (v *inventories) lists(id p2p.ID, d digest.Digest) bool {
	n := v.of(id)
	return n != nil && n.Holds(d) && !v.suspicions.Holder(id.String(), d)
}

// refused is called when id answered that it does not have d. It returns the
// fault if id lists d.
func (v *inventories) refused(id p2p.ID, d digest.Digest) (f peer.Fault, why string) {
	if n := v.of(id); n != nil {
		return v.suspicions.Refused(id.String(), n.Set, d)
	}
	return peer.None, ""
}

// find lists the neighbours for which has is true, best first. It leaves out
// those that must not be asked now and those that are suspected for d.
func (v *inventories) find(d digest.Digest, has func(*inventory.Set, digest.Digest) bool, suspected func(id string, d digest.Digest) bool) []peer.Peer {
	v.mu.Lock()
	var ids []p2p.ID
	for id, n := range v.told {
		if has(n.Set, d) {
			ids = append(ids, id)
		}
	}
	v.mu.Unlock()
	type ranked struct {
		*remote
		cost time.Duration
	}
	var list []ranked
	for _, id := range ids {
		p := v.swarm.peer(id)
		if suspected(p.text, d) {
			continue
		}
		if cost, ok := v.swarm.cost(p); ok {
			list = append(list, ranked{p, cost})
		}
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.id, b.id))
	})
	peers := make([]peer.Peer, len(list))
	for i, r := range list {
		peers[i] = r.remote
	}
	return peers
}

// LastCopy reports whether there are neighbours that tell what they hold, and none of
// them holds d. It is a lookup in memory.
func (s *Swarm) LastCopy(d digest.Digest) bool {
	v := s.inventories
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, n := range v.told {
		if n.Holds(d) && !v.suspicions.Holder(id.String(), d) {
			return false
		}
	}
	return len(v.told) > 0
}

// Seeds implements peer.Swarm.
func (s *Swarm) Seeds(d digest.Digest) []peer.Peer {
	return s.inventories.find(d, (*inventory.Set).Holds, s.inventories.suspicions.Holder)
}

// Downloaders implements peer.Swarm.
func (s *Swarm) Downloaders(d digest.Digest) []peer.Peer {
	return s.inventories.find(d, (*inventory.Set).Downloads, s.inventories.suspicions.Downloader)
}

// Announce implements peer.Swarm. It announces at most 4096 downloads at a time.
func (s *Swarm) Announce(d digest.Digest, on bool) { s.inventories.journal.Download(d, on) }
