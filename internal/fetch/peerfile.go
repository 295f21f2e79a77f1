package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// leastRead is what a box that holds a file must send in waits.holder, or
// another source takes its place: 16 KiB/s.
const leastRead = 64 << 10

// maxPeers bounds how many boxes are asked for one file, before the mirror.
const maxPeers = 32

// errSlow says that a peer, unlike a mirror, is not waited for.
var errSlow = errors.New("the peer is too slow")

// slow reports whether err means that bytes did not come in time.
func slow(err error) bool { return errors.Is(err, errSlow) || errors.Is(err, mirror.ErrStalled) }

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
	waits  waits
}

var _ Provider = (*peerFile)(nil)

func (p *peerFile) String() string        { return "peer " + p.peer.String() }
func (p *peerFile) Origin() ledger.Origin { return ledger.FromPeer }
func (p *peerFile) Report(o Outcome)      { p.peer.Report(o) }

// peers yields boxes that hold the file, boxes that are downloading it, boxes
// of this site that ought to, and what the DHT finds in time, each box once.
// Only what a signed Release lists is asked for, and only with its size:
// otherwise a liar could fill the disk.
func (fl *flight) peers(ctx context.Context) iter.Seq[*peerFile] {
	return func(yield func(*peerFile) bool) {
		swarm, d := fl.f.Peers, fl.key.digest
		if swarm == nil || !fl.entry.Signed || fl.entry.Size < 0 {
			return
		}
		seen := make(map[string]bool)
		offer := func(p Peer, state peerState) bool {
			if seen[p.String()] {
				return true
			}
			seen[p.String()] = true
			return len(seen) <= maxPeers && yield(&peerFile{peer: p, digest: d, state: state, waits: fl.f.waits})
		}
		for state, list := range []func(digest.Digest) []Peer{
			whole: swarm.Neighbours, growing: swarm.Downloading, elder: swarm.Elders,
		} {
			for _, p := range list(d) {
				if !offer(p, peerState(state)) {
					return
				}
			}
		}
		for p := range fl.lookUp().peers(ctx) {
			if !offer(p, whole) {
				return
			}
		}
	}
}

// Open implements Provider. That a box which only might have had the file
// does not have it is no fault of the box.
func (p *peerFile) Open(ctx context.Context, off, n int64) (*Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &pacedBody{ctx: ctx, cancel: cancel, limit: p.waits.holder, least: leastRead}
	if p.state != whole {
		b.limit, b.least = p.waits.relay, 1
	}
	b.timer = time.AfterFunc(b.limit, func() { cancel(errSlow) })
	s, err := p.peer.Open(ctx, p.digest, off, n, p.state == elder)
	b.timer.Stop()
	if err != nil {
		err = reason(ctx, err)
		cancel(nil)
		if errors.Is(err, fs.ErrNotExist) && p.state == whole {
			p.Report(Outcome{Fault: Failed, Why: "did not have what it lists"})
		}
		return nil, err
	}
	b.ReadCloser = s.ReadCloser
	return &Stream{ReadCloser: b, Off: s.Off, Size: s.Size, Modified: s.Modified}, nil
}

// reason prefers the cause of ctx's end to the error that the end led to.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// pacedBody ends a stream that does not bring at least least bytes in limit.
// Only the time spent waiting for the peer counts, not that for the disk.
type pacedBody struct {
	io.ReadCloser
	ctx    context.Context // the stream's own
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
	least  int

	waited time.Duration // since got was 0
	got    int
}

func (b *pacedBody) Read(p []byte) (int, error) {
	begun := time.Now()
	b.timer.Reset(b.limit - b.waited)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(begun)
	if b.got += n; b.got >= b.least {
		b.waited, b.got = 0, 0
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = reason(b.ctx, err)
	}
	return n, err
}

func (b *pacedBody) Close() error {
	b.timer.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
