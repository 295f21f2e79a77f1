package fetch

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// maxPeers bounds how many peers are asked for one file, before the mirror.
const maxPeers = 32

// peerKind is what a peer is to a file.
type peerKind uint8

const (
	seed       peerKind = iota // holds it
	downloader                 // is downloading it
	owner                      // is to fetch it for the site
)

// peerSource is a file at a peer.
type peerSource struct {
	peer   peer.Peer
	digest digest.Digest
	size   int64
	kind   peerKind
	fetch  peer.Fetch // what it is to do if it lacks the file
	pace   peer.Pace
}

func (p *peerSource) String() string        { return "peer " + p.peer.String() }
func (p *peerSource) Origin() ledger.Origin { return ledger.FromPeer }
func (p *peerSource) Record() store.Provenance {
	return store.Provenance{Peer: true, Name: p.peer.ID()}
}
func (p *peerSource) Report(o peer.Outcome) { p.peer.Report(o) }

// Open implements source. That the peer does not have what it claims to hold
// is a fault that the peer's Open reports by itself.
func (p *peerSource) Open(ctx context.Context, off, n int64) (*peer.Stream, error) {
	return p.peer.Open(ctx, p.digest, peer.Request{Off: off, N: n, Pace: p.pace, Fetch: p.fetch})
}

// Manifest returns the digests of the file's pieces as the peer states them.
func (p *peerSource) Manifest(ctx context.Context) ([]digest.Digest, error) {
	return p.peer.Manifest(ctx, p.digest)
}

// Pieces returns which pieces a downloader has.
func (p *peerSource) Pieces(ctx context.Context) (peer.Bitfield, error) {
	size, have, err := p.peer.Pieces(ctx, p.digest)
	if err == nil && size != p.size {
		err = fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, size, p.size)
	}
	return have, err
}

// verified reports whether s has verified what it sends: not a peer that is
// itself downloading it.
func verified(s source) bool {
	p, ok := s.(*peerSource)
	return !ok || p.kind == seed
}

// shared reports whether the swarm may know of the flight: every box in it, and
// not if it has a login.
func (fl *flight) shared() bool {
	return fl.f.swarm != nil && fl.entry.Shared.Includes(fl.f.swarm.Widest()) && fl.key.login == ""
}

// shareable reports whether peers may be asked: for what a signed Release
// lists, with its size, since otherwise a liar could fill the disk.
func (fl *flight) shareable() bool { return fl.shared() && fl.entry.Size >= 0 }

// neighbours lists connected peers that hold the file, that are downloading
// it, and that are to fetch it, each peer once. The first owner may rely on one that
// ranks above it. Whoever asks the others does so because the first one failed or is
// silent: they are to ask the mirror (see race.hasten, too).
func (fl *flight) neighbours() []*peerSource {
	if !fl.shareable() {
		return nil
	}
	swarm := fl.f.swarm
	var all []*peerSource
	for kind, list := range []func(digest.Digest) []peer.Peer{
		seed: swarm.Seeds, downloader: swarm.Downloaders, owner: swarm.Owners,
	} {
		if peerKind(kind) == owner && fl.fromMirror.Load() {
			continue
		}
		for i, p := range list(fl.key.digest) {
			if len(all) >= maxPeers || contains(all, p) {
				continue
			}
			s := fl.peerSource(p, peerKind(kind))
			if s.kind == owner {
				s.fetch = peer.FetchFromMirror
				if i == 0 {
					s.fetch = peer.FetchAnywhere
				}
			}
			all = append(all, s)
		}
	}
	return all
}

// skipPeers has the flight ask the mirror before peers from now on, and at once if it
// waits for an owner: a peer needs the file, and has waited for others itself. changed is
// false if that was so before.
func (fl *flight) skipPeers() (changed bool) {
	if fl.fromMirror.Swap(true) {
		return false
	}
	fl.widen()
	return true
}

// peers yields the neighbours, then what the DHT finds in time, unless near says that
// this site has the file, or another box of it is to get it. Where others wait for this box,
// only peers with a record are found: bytes of peers are not given out before the whole
// is verified, and what somebody unknown sends may be wrong or never come.
func (fl *flight) peers(ctx context.Context, neighbours []*peerSource, near bool) iter.Seq[*peerSource] {
	return func(yield func(*peerSource) bool) {
		for _, p := range neighbours {
			if !yield(p) {
				return
			}
		}
		if !fl.shareable() || near {
			return
		}
		found := fl.startLookup() //nolint:contextcheck // the whole flight shares it
		for p := range found.peers(ctx) {
			skip := contains(neighbours, p) || fl.isAwaited() && !p.Standing().Proven
			if !skip && !yield(fl.peerSource(p, seed)) {
				return
			}
		}
	}
}

// isNear reports whether one of all is of this site.
func isNear(all []*peerSource) bool {
	return slices.ContainsFunc(all, func(p *peerSource) bool { return p.kind == owner || p.peer.Nearby() })
}

// isAwaited reports whether a peer waits for the flight.
func (fl *flight) isAwaited() bool {
	if fl.payer != "" {
		return true
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for b := range fl.bodies {
		if !b.client {
			return true
		}
	}
	return false
}

func (fl *flight) peerSource(p peer.Peer, kind peerKind) *peerSource {
	return &peerSource{peer: p, digest: fl.key.digest, size: fl.entry.Size, kind: kind, pace: fl.f.timeouts.pace(kind)}
}

// contains reports whether all has p.
func contains(all []*peerSource, p peer.Peer) bool {
	return slices.ContainsFunc(all, func(o *peerSource) bool { return o.peer.String() == p.String() })
}

// announce tells the neighbours that the file is being downloaded here, from
// the mirror or in pieces, or no longer.
func (fl *flight) announce(on bool) {
	if fl.shared() && fl.announced.Swap(on) != on {
		fl.f.swarm.Announce(fl.key.digest, on)
	}
}
