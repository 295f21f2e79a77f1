package swarm

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"millpond/internal/peer"
)

// linksProtocol transfers the list of a box's connections. A peer opens a stream;
// the box answers with its links, in ascending order of the other ends' peer IDs,
// and closes the stream. Each link is:
//
//	flags   1 byte
//	rtt     round trip in microseconds as a varint, 0 if not known
//	length  of the peer ID, as a varint
//	id      the peer ID
//
// The format has no field for the near end, so a box can only report its own
// links.
const linksProtocol protocol.ID = "/millpond/links/1"

const (
	relayedFlag = 1
	nearbyFlag  = 2

	maxLinks  = 256 // sent and accepted
	maxID     = 64  // bytes; the ID of an ed25519 key has 38
	maxRTT    = time.Minute
	maxAnswer = maxLinks * (1 + 4 + 1 + maxID)
)

// Boxes are asked when Graph is called, each at most once within linksFor.
const (
	linksFor     = 15 * time.Second
	linksTimeout = 2 * time.Second // for all of them together
	maxAsked     = 128             // all at once, so that a stalled box delays no other

	// linksEvery is the shortest interval between two requests of a peer; a peer
	// may ask again soon because it restarted. It is also the deadline for writing,
	// so that each peer has one answer in progress.
	linksEvery = 2 * time.Second
	maxServed  = 1024 // boxes answered within linksEvery
)

var errLinks = errors.New("malformed links")

// link is a connection to the box id, as the box at its near end sees it.
type link struct {
	id      p2p.ID
	relayed bool
	nearby  bool          // both ends are of one site
	rtt     time.Duration // 0: not known
}

func appendLinks(b []byte, links []link) []byte {
	for _, l := range links {
		flags := byte(0)
		if l.relayed {
			flags |= relayedFlag
		}
		if l.nearby {
			flags |= nearbyFlag
		}
		b = binary.AppendUvarint(append(b, flags), uint64(min(l.rtt, maxRTT).Microseconds()))
		b = append(binary.AppendUvarint(b, uint64(len(l.id))), l.id...)
	}
	return b
}

// readLinks reads the answer of the box sender.
func readLinks(r io.Reader, sender p2p.ID) ([]link, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%w: more than %d bytes", errLinks, maxAnswer)
	}
	var links []link
	for len(b) > 0 {
		flags := b[0]
		rtt, n := binary.Uvarint(b[1:])
		length, m := binary.Uvarint(b[1+max(n, 0):])
		switch {
		case n <= 0 || m <= 0 || flags > relayedFlag|nearbyFlag || rtt > uint64(maxRTT.Microseconds()) || length > uint64(len(b)-1-n-m):
			return nil, fmt.Errorf("%w: numbers", errLinks)
		case len(links) == maxLinks:
			return nil, fmt.Errorf("%w: more than %d", errLinks, maxLinks)
		case length > maxID:
			return nil, fmt.Errorf("%w: a peer ID of %d bytes", errLinks, length)
		}
		b = b[1+n+m:]
		id, err := p2p.IDFromBytes(b[:length])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errLinks, err)
		}
		b = b[length:]
		if id == sender || len(links) > 0 && id <= links[len(links)-1].id {
			return nil, fmt.Errorf("%w: peer IDs out of order, or the sender's own", errLinks)
		}
		links = append(links, link{id, flags&relayedFlag != 0, flags&nearbyFlag != 0, time.Duration(rtt) * time.Microsecond})
	}
	return links, nil
}

// linked reports whether one of links, which are sorted, leads to id.
func linked(links []link, id p2p.ID) bool {
	_, ok := slices.BinarySearchFunc(links, id, func(l link, id p2p.ID) int { return cmp.Compare(l.id, id) })
	return ok
}

// links exchanges links with the connected boxes.
type links struct {
	swarm *Swarm
	turn  chan struct{} // holds one token while a gather asks

	mu      sync.Mutex // guards the fields below
	answers map[p2p.ID]reply
	served  map[p2p.ID]time.Time // when a box was last sent ours
}

// reply is the outcome of asking a box.
type reply struct {
	at    time.Time
	ok    bool // it answered
	links []link
}

func newLinks(s *Swarm) *links {
	return &links{swarm: s, turn: make(chan struct{}, 1), answers: make(map[p2p.ID]reply), served: make(map[p2p.ID]time.Time)}
}

// run answers requests until ctx ends. Part of Run's group.
func (l *links) run(ctx context.Context) error {
	l.swarm.host.SetStreamHandler(linksProtocol, l.serve)
	defer l.swarm.host.RemoveStreamHandler(linksProtocol)
	<-ctx.Done()
	return nil
}

// own returns this box's links, sorted.
func (l *links) own() []link {
	ids := l.swarm.boxes.ids()
	own := make([]link, len(ids))
	for i, id := range ids {
		own[i] = link{id, l.swarm.direct(id) == nil, l.swarm.nearby(id), l.swarm.rtts.of(id)}
	}
	return own
}

// serve answers a request.
func (l *links) serve(st network.Stream) {
	id := st.Conn().RemotePeer()
	if l.swarm.banned(id) || !l.swarm.may(id, report) || !l.due(id, time.Now()) {
		st.Reset()
		return
	}
	own := l.own()
	st.SetDeadline(time.Now().Add(linksEvery))
	if _, err := st.Write(appendLinks(nil, own[:min(len(own), maxLinks)])); err != nil {
		st.Reset()
		return
	}
	st.Close()
}

// due reports whether id may be answered now, and if so records that it is.
func (l *links) due(id p2p.ID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.served[id]) < linksEvery {
		return false
	}
	if len(l.served) >= maxServed {
		maps.DeleteFunc(l.served, func(_ p2p.ID, at time.Time) bool { return now.Sub(at) >= linksEvery })
	}
	if len(l.served) >= maxServed {
		return false
	}
	l.served[id] = now
	return true
}

// gather returns the boxes' answers of the last linksFor. It asks the boxes whose
// answers are older and waits for them at most linksTimeout; concurrent calls
// wait for the same answers.
func (l *links) gather(own []link) map[p2p.ID]reply {
	ctx, cancel := context.WithTimeout(context.Background(), linksTimeout)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		l.refresh(ctx, l.askable(own))
		<-l.turn
	case <-ctx.Done():
	}
	fresh := make(map[p2p.ID]reply)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range own {
		if a := l.answers[o.id]; a.ok && time.Since(a.at) < linksFor+linksTimeout {
			fresh[o.id] = a
		}
	}
	return fresh
}

// askable returns the peers to ask. It leaves out strangers, older versions, which
// do not speak the protocol, and relayed connections, which carry signalling only.
func (l *links) askable(own []link) []p2p.ID {
	var ids []p2p.ID
	for _, o := range own {
		speaks, err := l.swarm.host.Peerstore().SupportsProtocols(o.id, linksProtocol)
		if err == nil && len(speaks) > 0 && !o.relayed && l.swarm.may(o.id, report) && !l.swarm.banned(o.id) && !l.swarm.rtts.unresponsive(o.id) && len(ids) < maxAsked {
			ids = append(ids, o.id)
		}
	}
	return ids
}

// refresh asks those of ids whose answers are old and drops the answers of all
// boxes not in ids.
func (l *links) refresh(ctx context.Context, ids []p2p.ID) {
	var due []p2p.ID
	l.mu.Lock()
	maps.DeleteFunc(l.answers, func(id p2p.ID, _ reply) bool { return !slices.Contains(ids, id) })
	for _, id := range ids {
		if time.Since(l.answers[id].at) >= linksFor {
			due = append(due, id)
		}
	}
	l.mu.Unlock()
	var asking sync.WaitGroup
	for _, id := range due {
		asking.Go(func() {
			got, err := l.ask(ctx, id)
			switch {
			case errors.Is(err, errLinks):
				l.swarm.fault(id, peer.Failed, err.Error())
			case err != nil:
				l.swarm.log.Debug("links request failed", "peer", id, "err", err)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.answers[id] = reply{time.Now(), err == nil, got}
		})
	}
	asking.Wait()
}

// ask requests the links of one box.
func (l *links) ask(ctx context.Context, id p2p.ID) ([]link, error) {
	st, err := l.swarm.host.NewStream(network.WithNoDial(ctx, "links"), id, linksProtocol)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	defer st.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		st.SetDeadline(deadline)
	}
	if err := st.CloseWrite(); err != nil { // sends the request: the protocol's name, buffered until now
		return nil, err
	}
	return readLinks(st, id)
}
