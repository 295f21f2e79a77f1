package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"millpond/internal/peer"
	"millpond/internal/swarm/quota"
)

// reportsProtocol asks a box for its figures. The stream that a peer opens has a
// question of maxQuestion bytes at most, and its end; the box writes an answer of
// maxReport bytes at most, and its end. Package siteledger has the messages.
const reportsProtocol protocol.ID = "/millpond/site/1"

const (
	maxQuestion = 1 << 10
	maxReport   = 1 << 20

	// reportTimeout ends a stream on which a peer is asked or answered.
	reportTimeout = 2 * time.Second

	// A box asks once in two seconds while somebody looks at its page, and gets some
	// kilobytes. The first answers, with all that happened over time, are up to 300 kB.
	reportsPerPeer = 4 // streams in each direction
	reportsBurst   = 2 * maxReport
	reportsPace    = rate.Limit(64 << 10) // bytes a second to a peer
	// questionCost is what a question takes of that before there is an answer, whose
	// first bytes it stands for: some milliseconds go into a short one, too.
	questionCost = 8 << 10

	// reportSlots bounds the answers in memory. The boxes' networks share them; one that
	// gets none asks again.
	reportSlots = 16
)

// reports answers the questions of other boxes.
type reports struct {
	swarm *Swarm
	pace  *pace
	slots *quota.Quota[lister]
}

func newReports(s *Swarm) *reports {
	return &reports{swarm: s, pace: newPace(reportsPace, reportsBurst), slots: quota.New[lister](reportSlots, networkWeight)}
}

// run answers questions from what there is until ctx ends. Part of Run's group.
func (r *reports) run(ctx context.Context, from peer.Reporter) error {
	if from == nil {
		return nil
	}
	r.swarm.host.SetStreamHandler(reportsProtocol, func(st network.Stream) { r.serve(ctx, st, from) })
	defer r.swarm.host.RemoveStreamHandler(reportsProtocol)
	<-ctx.Done()
	return nil
}

// serve answers one question.
func (r *reports) serve(ctx context.Context, st network.Stream, from peer.Reporter) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	id := st.Conn().RemotePeer()
	if r.swarm.banned(id) || !r.swarm.may(id, report) {
		st.Reset()
		return
	}
	if err := r.answer(ctx, st, from); err != nil {
		st.Reset()
		r.swarm.log.Debug("question about figures not answered", "peer", id, "err", err)
		if errors.Is(err, peer.ErrMalformed) {
			r.swarm.fault(id, peer.Failed, err.Error())
		}
	}
}

// answer reads a question, answers it and closes st.
func (r *reports) answer(ctx context.Context, st network.Stream, from peer.Reporter) error {
	id := st.Conn().RemotePeer()
	by := r.swarm.inventories.lister(id)
	if r.slots.Take(by, 1) == 0 {
		return errNoSlot
	}
	defer r.slots.Give(by, 1)
	question, err := readMessage(st, maxQuestion)
	if err == nil {
		err = r.pace.wait(ctx, id, questionCost)
	}
	if err != nil {
		return err
	}
	answer, err := from.Report(ctx, peer.Asker{ID: id.String(), Kind: r.swarm.kind(id)}, question)
	if err != nil {
		return err
	}
	if err := r.pace.wait(ctx, id, max(len(answer)-questionCost, 0)); err != nil {
		return err
	}
	if _, err := st.Write(answer); err != nil {
		return err
	}
	return st.Close()
}

// readMessage reads to the end. The error wraps peer.ErrMalformed if that is further
// away than limit.
func readMessage(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%w: more than %d bytes", peer.ErrMalformed, limit)
	}
	return b, err
}

// Reporters returns the connected members and local boxes that can be asked for a
// report.
func (s *Swarm) Reporters() []peer.Neighbour {
	var all []peer.Neighbour
	for _, id := range s.boxes.ids() {
		speaks, err := s.host.Peerstore().SupportsProtocols(id, reportsProtocol)
		if err != nil || len(speaks) == 0 || s.direct(id) == nil || !s.may(id, report) || s.banned(id) {
			continue
		}
		all = append(all, peer.Neighbour{Asker: peer.Asker{ID: id.String(), Kind: s.kind(id)}, Party: s.network(id)})
	}
	return all
}

// AskReport asks a box for a report, for 2 s at most. An answer that is too long is
// reported as its fault here; what else is wrong with one, by Misreported.
func (s *Swarm) AskReport(ctx context.Context, box string, question []byte) (answer []byte, err error) {
	id, err := p2p.Decode(box)
	if err != nil {
		return nil, fmt.Errorf("reading the peer ID of a box: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	st, err := s.host.NewStream(network.WithNoDial(ctx, "figures"), id, reportsProtocol)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	if _, err = st.Write(question); err == nil {
		err = st.CloseWrite()
	}
	if err != nil {
		return nil, fmt.Errorf("sending a question: %w", err)
	}
	if answer, err = readMessage(st, maxReport); errors.Is(err, peer.ErrMalformed) {
		s.Misreported(box, err)
	}
	return answer, err
}

// Misreported says that a box's report is one that no honest box sends.
func (s *Swarm) Misreported(box string, why error) {
	if id, err := p2p.Decode(box); err == nil {
		s.fault(id, peer.Failed, why.Error())
	}
}
