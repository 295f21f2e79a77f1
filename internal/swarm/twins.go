package swarm

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
	"golang.org/x/sync/errgroup"
)

// A twin is another box with the identity key of this one, as there is one after a virtual
// machine or a volume was copied. Neither can dial the other, since libp2p dials nobody
// under its own ID, and all others take the two for one. They find each other by mDNS
// (meet), or through a box that both are connected with.
//
// Only who has the key can prove to be a twin: by signing a nonce of this box together
// with another instance than its own. So nobody else can raise a false alarm, and a
// box that meets itself, behind another address, raises none either.
const (
	// instanceProtocol asks for a proof: the answer to a nonce of 32 bytes is a proof.
	instanceProtocol protocol.ID = "/millpond/instance/1"
	// twinsProtocol asks a box for others that it is connected with under the asker's
	// ID. It passes the nonce on to each, and answers with their proofs.
	twinsProtocol protocol.ID = "/millpond/twins/1"
)

const (
	// twinsEvery is the time between two looks for boxes to ask.
	twinsEvery = 2 * time.Second
	// A box is asked once for each time that it connects; again, after askAgain at the
	// soonest, if somebody asks this box for a proof through it; and every twinSeenEvery
	// while a twin is known.
	askAgain      = time.Second
	twinSeenEvery = time.Minute
	// twinFor is how long a twin is known after it was last seen.
	twinFor = 3 * time.Minute
	// twinTimeout is for asking one box.
	twinTimeout  = 3 * time.Second
	twinsAtOnce  = 8
	maxTwins     = 4 // asked on behalf of one box
	maxChallenge = 16
)

// signedFor keeps signatures apart from those that libp2p makes with the same key.
const signedFor = "millpond instance:"

type (
	nonce    [32]byte
	instance [16]byte
)

// proof is an instance and the signature of it with a nonce, of 64 bytes in Ed25519.
type proof [len(instance{}) + 64]byte

func signed(n nonce, i instance) []byte { return slices.Concat([]byte(signedFor), n[:], i[:]) }

// Twin is another box with this one's identity key.
type Twin struct {
	Where string    // it was found
	Seen  time.Time // last
}

// twins finds the twins of this box, and helps others to find theirs.
type twins struct {
	swarm      *Swarm
	key        crypto.PrivKey
	instance   instance      // of this start of this box
	challenged chan p2p.ID   // boxes through which somebody asked for a proof
	meeting    chan struct{} // holds a token during meet

	asked map[p2p.ID]time.Time // of run alone
	again map[p2p.ID]bool      // of run alone; boxes to ask again

	mu   sync.Mutex // guards the fields below
	out  map[nonce]bool
	seen Twin
	met  []ma.Multiaddr // where a twin was met
}

func newTwins(s *Swarm, key crypto.PrivKey) *twins {
	t := &twins{
		swarm: s, key: key, challenged: make(chan p2p.ID, maxChallenge), meeting: make(chan struct{}, 1),
		asked: make(map[p2p.ID]time.Time), again: make(map[p2p.ID]bool), out: make(map[nonce]bool),
	}
	rand.Read(t.instance[:])
	return t
}

// Twin returns the box that has this one's identity key, if one was seen lately.
func (s *Swarm) Twin() (Twin, bool) {
	s.twins.mu.Lock()
	defer s.twins.mu.Unlock()
	return s.twins.seen, s.twins.known()
}

// known reports whether a twin is. The caller holds mu.
func (t *twins) known() bool { return !t.seen.Seen.IsZero() && time.Since(t.seen.Seen) < twinFor }

// run looks for twins, and answers other boxes, until ctx ends. Part of Run's group.
func (t *twins) run(ctx context.Context) error {
	h := t.swarm.host
	h.SetStreamHandler(instanceProtocol, t.prove)
	defer h.RemoveStreamHandler(instanceProtocol)
	h.SetStreamHandler(twinsProtocol, func(st network.Stream) { t.introduce(ctx, st) })
	defer h.RemoveStreamHandler(twinsProtocol)
	tick := time.NewTicker(twinsEvery)
	defer tick.Stop()
	for {
		changed := t.swarm.boxes.changed()
		t.askAll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
			t.meetAgain(ctx)
		case id := <-t.challenged:
			if _, known := t.swarm.Twin(); !known && !t.swarm.boxes.connectedSince(id).IsZero() {
				t.again[id] = true
			}
		}
	}
}

// askAll asks the connected boxes that are due.
func (t *twins) askAll(ctx context.Context) {
	boxes := t.swarm.boxes.ids()
	gone := func(id p2p.ID) bool { _, here := slices.BinarySearch(boxes, id); return !here }
	maps.DeleteFunc(t.asked, func(id p2p.ID, _ time.Time) bool { return gone(id) })
	maps.DeleteFunc(t.again, func(id p2p.ID, _ bool) bool { return gone(id) })
	var asking errgroup.Group
	asking.SetLimit(twinsAtOnce)
	for _, id := range boxes {
		if !t.due(id) {
			continue
		}
		t.asked[id] = time.Now()
		delete(t.again, id)
		asking.Go(func() error {
			if err := t.ask(ctx, id); err != nil {
				t.swarm.log.Debug("request for boxes with this identity failed", "peer", id, "err", err)
			}
			return nil
		})
	}
	_ = asking.Wait() // its functions return nil
}

// due reports whether the box id is to be asked now.
func (t *twins) due(id p2p.ID) bool {
	speaks, err := t.swarm.host.Peerstore().SupportsProtocols(id, twinsProtocol)
	if err != nil || len(speaks) == 0 || t.swarm.direct(id) == nil {
		return false
	}
	last := t.asked[id]
	if last.Before(t.swarm.boxes.connectedSince(id)) {
		return true
	}
	if _, known := t.swarm.Twin(); known {
		return time.Since(last) >= twinSeenEvery
	}
	return t.again[id] && time.Since(last) >= askAgain
}

// ask asks the box id for twins of this one.
func (t *twins) ask(ctx context.Context, id p2p.ID) error {
	ctx, cancel := context.WithTimeout(ctx, twinTimeout)
	defer cancel()
	st, err := t.swarm.host.NewStream(network.WithNoDial(ctx, "twins"), id, twinsProtocol)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	_, err = t.challenge(ctx, st, "through the box "+id.String())
	return err
}

// challenge sends a nonce to st, and reports whether a twin proved with it that it is one.
func (t *twins) challenge(ctx context.Context, st network.Stream, where string) (found bool, err error) {
	var n nonce
	rand.Read(n[:])
	t.issue(n, true)
	defer t.issue(n, false)
	all, err := proofs(ctx, st, n)
	for _, p := range all {
		i := instance(p[:len(instance{})])
		ok, err := t.key.GetPublic().Verify(signed(n, i), p[len(i):])
		if err == nil && ok && i != t.instance {
			t.saw(where)
			return true, nil
		}
	}
	return false, err
}

// issue notes that this box waits for proofs with n, or does no longer.
func (t *twins) issue(n nonce, waits bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if waits {
		t.out[n] = true
	} else {
		delete(t.out, n)
	}
}

// proofs sends n to st and returns the answer.
func proofs(ctx context.Context, st network.Stream, n nonce) (all []proof, err error) {
	defer st.Reset()
	if deadline, ok := ctx.Deadline(); ok {
		st.SetDeadline(deadline)
	}
	if _, err := st.Write(n[:]); err != nil {
		return nil, err
	}
	if err := st.CloseWrite(); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(st, int64(maxTwins*len(proof{}))))
	if err != nil {
		return nil, err
	}
	for p := range slices.Chunk(b, len(proof{})) {
		if len(p) == len(proof{}) {
			all = append(all, proof(p))
		}
	}
	return all, nil
}

// saw records that a twin was seen.
func (t *twins) saw(where string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known() {
		t.swarm.log.Error("another box has the identity key of this one, a copy", "found", where,
			"cure", "stop one of the two, remove its identity key, and start it again")
	}
	t.seen = Twin{Where: where, Seen: time.Now()}
}

// prove answers a request for a proof.
func (t *twins) prove(st network.Stream) {
	n, err := readNonce(st)
	if err == nil {
		err = t.answer(st, n)
	}
	if err != nil {
		_ = st.Reset() // the other end has left, or asks for nothing
		return
	}
	st.Close()
	t.mu.Lock()
	own := t.out[n] // it came back to this box, over another connection
	t.mu.Unlock()
	if !own {
		t.askBack(st.Conn().RemotePeer())
	}
}

// askBack has the box id asked, through which somebody asked for a proof.
func (t *twins) askBack(id p2p.ID) {
	select {
	case t.challenged <- id:
	default: // enough boxes wait
	}
}

func (t *twins) answer(st network.Stream, n nonce) error {
	signature, err := t.key.Sign(signed(n, t.instance))
	if err != nil {
		return err
	}
	_, err = st.Write(slices.Concat(t.instance[:], signature))
	return err
}

func readNonce(st network.Stream) (n nonce, err error) {
	st.SetDeadline(time.Now().Add(twinTimeout))
	_, err = io.ReadFull(st, n[:])
	return n, err
}

// introduce passes a nonce on to the other boxes that are connected under the ID of the
// one that asks.
func (t *twins) introduce(ctx context.Context, st network.Stream) {
	n, err := readNonce(st)
	if err == nil {
		_, err = st.Write(t.others(ctx, st.Conn(), n))
	}
	if err != nil {
		_ = st.Reset() // the other end has left, or asks for nothing
		return
	}
	st.Close()
}

// others returns the proofs of the boxes that are connected under the ID of the one at the
// other end of conn. Those of earlier versions give none.
func (t *twins) others(ctx context.Context, conn network.Conn, n nonce) (all []byte) {
	ctx, cancel := context.WithTimeout(ctx, twinTimeout)
	defer cancel()
	asked := 0
	for _, c := range t.swarm.host.Network().ConnsToPeer(conn.RemotePeer()) {
		if c == conn || c.Stat().Limited || asked == maxTwins {
			continue
		}
		asked++
		got, err := proofsOver(ctx, c, n)
		if err != nil {
			t.swarm.log.Debug("request for a proof of identity failed", "peer", c.RemotePeer(), "addr", c.RemoteMultiaddr(), "err", err)
			continue
		}
		for _, p := range got[:min(len(got), 1)] {
			all = append(all, p[:]...)
		}
	}
	return all
}

// proofsOver asks for a proof over one connection of several to the same ID.
func proofsOver(ctx context.Context, c network.Conn, n nonce) ([]proof, error) {
	st, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		st.SetDeadline(deadline)
	}
	err = st.SetProtocol(instanceProtocol)
	if err == nil {
		err = multistream.SelectProtoOrFail(instanceProtocol, st)
	}
	if err != nil {
		_ = st.Reset() // the error before this one counts
		return nil, err
	}
	return proofs(ctx, st, n)
}
