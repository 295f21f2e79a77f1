package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
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

func (p *peerFile) String() string           { return "peer " + p.peer.String() }
func (p *peerFile) Origin() ledger.Origin    { return ledger.FromPeer }
func (p *peerFile) Source() store.Provenance { return store.Provenance{Peer: true, Name: p.peer.ID()} }
func (p *peerFile) Report(o Outcome)         { p.peer.Report(o) }

// shared reports whether peers may be asked: for what a signed Release lists,
// with its size, since otherwise a liar could fill the disk.
func (fl *flight) shared() bool {
	return fl.f.Peers != nil && fl.entry.Signed && fl.entry.Size >= 0
}

// connected lists connected boxes that hold the file, that are downloading it,
// and that ought to, each box once.
func (fl *flight) connected() []*peerFile {
	if !fl.shared() {
		return nil
	}
	swarm, d := fl.f.Peers, fl.key.digest
	var all []*peerFile
	for state, list := range []func(digest.Digest) []Peer{
		whole: swarm.Neighbours, growing: swarm.Downloading, elder: swarm.Elders,
	} {
		for _, p := range list(d) {
			if len(all) < maxPeers && !lists(all, p) {
				all = append(all, fl.peerFile(p, peerState(state)))
			}
		}
	}
	return all
}

// peers yields the connected boxes, then what the DHT finds in time.
func (fl *flight) peers(ctx context.Context) iter.Seq[*peerFile] {
	return func(yield func(*peerFile) bool) {
		all := fl.connected()
		for _, p := range all {
			if !yield(p) {
				return
			}
		}
		if !fl.shared() {
			return
		}
		for p := range fl.lookUp().peers(ctx) {
			if !lists(all, p) && !yield(fl.peerFile(p, whole)) {
				return
			}
		}
	}
}

func (fl *flight) peerFile(p Peer, state peerState) *peerFile {
	return &peerFile{peer: p, digest: fl.key.digest, state: state, waits: fl.f.waits}
}

// lists reports whether all has p.
func lists(all []*peerFile, p Peer) bool {
	return slices.ContainsFunc(all, func(o *peerFile) bool { return o.peer.String() == p.String() })
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
