package fetch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// source is a mirror or a peer that may have one file. What it sends is not
// trusted.
type source interface {
	// String names the source in logs.
	String() string
	// Origin is what its bytes count as.
	Origin() ledger.Origin
	// Record names the source for good, beside the file.
	Record() store.Provenance
	// Open requests the bytes from off on, n of them or, for 0, to the end.
	// Errors are those of packages mirror and peer, or wrap them.
	Open(ctx context.Context, off, n int64) (*peer.Stream, error)
	// Report tells how a transfer went.
	Report(peer.Outcome)
}

// mirrorSource is a file at one mirror, and how to request it.
type mirrorSource struct {
	catalog.Location
	client  *mirror.Client
	request mirror.Request
	via     []string   // the fields of the request that named it
	turn    *datedTurn // of a dated archive, nil for others
}

// mirrorAt is the mirror that sent the file at l, "" where its archive has no other one.
func (f *Fetcher) mirrorAt(l catalog.Location, at string) mirrorSource {
	return mirrorSource{Location: l, client: f.mirror, request: mirror.Request{URL: l.URL(), Mirror: at}}
}

// String implements source.
func (m mirrorSource) String() string {
	if m.request.Mirror == "" {
		return m.Location.String()
	}
	return m.client.URLAt(m.request.URL, m.request.Mirror)
}

func (m mirrorSource) Origin() ledger.Origin { return ledger.FromMirror }

func (m mirrorSource) Record() store.Provenance { return store.Provenance{Name: m.host()} }

// host is the mirror's, with a port that is not the scheme's own.
func (m mirrorSource) host() string {
	if at, err := catalog.ParseURL(m.request.Mirror + "/"); err == nil {
		return at.Host
	}
	return m.Host
}

// server names the mirror, whatever names it has for the file.
func (m mirrorSource) server() string { return cmp.Or(m.request.Mirror, m.Host) }

// Report implements source. Mirrors are chosen by the administrator and have
// no score; the log has their faults. One that sent wrong bytes, or is much slower
// than another, is asked after the other mirrors of the archive for a while.
func (m mirrorSource) Report(o peer.Outcome) {
	if o.Fault == peer.Lied || o.Fault == peer.Slow && o.Why == errOutpaced.Error() {
		m.client.Blame(m.request.URL, m.request.Mirror, errors.New(o.Why))
	}
}

func (m mirrorSource) Open(ctx context.Context, off, n int64) (*peer.Stream, error) {
	if m.turn != nil {
		return m.turn.open(ctx, func() (*peer.Stream, error) { return m.ask(ctx, off, n) })
	}
	return m.ask(ctx, off, n)
}

func (m mirrorSource) ask(ctx context.Context, off, n int64) (*peer.Stream, error) {
	r := m.request
	r.Offset, r.Length = off, n
	resp, err := m.client.Get(mirror.WithVia(ctx, m.via), r)
	if err != nil {
		return nil, err
	}
	return &peer.Stream{
		ReadCloser: resp.Body, Off: resp.Offset, Size: resp.Size, Modified: resp.LastModified,
		Cached: resp.Cached, Led: m.leads(resp.URL),
	}, nil
}

// leads reports whether an answer with that URL came from another host.
func (m mirrorSource) leads(url string) bool {
	at := m.request.Mirror
	own := strings.HasPrefix(url, m.Scheme+"://"+m.Host+"/") || at != "" && strings.HasPrefix(url, at+"/")
	return !own
}

// candidates are the sources of a flight's file that are known without
// searching, as of one moment.
type candidates struct {
	peers   []*peerSource // neighbours, each once
	mirrors []mirrorSource
	dated   []mirrorSource
}

// candidates asks swarm and catalog once. A file without a digest has no source
// but its location, and if nothing shows whether its bytes are right, another mirror
// does not go on where one was too slow.
func (fl *flight) candidates() candidates {
	if fl.key.digest.IsZero() {
		r := fl.request()
		mirrors := fl.f.mirrorsAt(r.Location, r.Login, -1, "")
		if fl.checkable() {
			mirrors = withFailover(mirrors)
		}
		return candidates{mirrors: mirrors}
	}
	return candidates{peers: fl.neighbours(), mirrors: fl.mirrors(), dated: fl.dated()}
}

// isReplaced reports whether each generation of e's suite has another file at l, as
// with indices: a cache on the way to the mirror may hold an earlier one's.
func isReplaced(e catalog.Entry, l catalog.Location) bool {
	return isListed(e) && !strings.Contains(l.Path, "/by-hash/")
}

// smallSize is the size up to which a file counts as small: two packages in three are,
// and one takes a line that is not slow (front) a few seconds.
const smallSize = 256 << 10

// isSmall reports whether e is a file that slow ones do not keep waiting: a client's
// update consists of such, and most packages do. A file without a known size is none.
func isSmall(e catalog.Entry) bool {
	return e.Kind == catalog.ReleaseFile || e.Kind == catalog.Content && (e.Size >= 0 && e.Size <= smallSize || isListed(e))
}

// isListed reports whether e is in the directory of e's suite, as the indices are that
// its Release lists.
func isListed(e catalog.Entry) bool {
	return e.Suite.Host != "" && strings.HasPrefix(e.Location.Path, strings.TrimSuffix(e.Suite.Path, "/")+"/")
}

// mirrorsAt lists the mirrors that may have the file at l, of that size, -1 if it
// is not known: those of l's archive, with first before the others.
func (f *Fetcher) mirrorsAt(l catalog.Location, login mirror.Login, size int64, first string) (all []mirrorSource) {
	r := mirror.Request{URL: l.URL(), Login: login}
	for _, r.Mirror = range f.mirror.Mirrors(r, size, first) {
		all = append(all, mirrorSource{Location: l, client: f.mirror, request: r})
	}
	return all
}

// withFailover makes each of the sources but the last give way soon to the next one.
func withFailover(all []mirrorSource) []mirrorSource {
	for i := range len(all) - 1 {
		all[i].request.Failover = true
	}
	return all
}

// mirrorsFor lists the mirrors that may have the content of r. A login is for
// r's own directory alone, where the bytes that it brings count as found; and
// without one no other location is asked with the box's.
func (f *Fetcher) mirrorsFor(r Request) (all []mirrorSource) {
	here, byHash := r.Location, r.Location.Dir().Join("by-hash")
	from := f.releases.Mirror(r.Suite, r.Release)
	places := f.catalog.Mirrors(r.Entry)
	if r.Login == "" {
		places = append(f.led(r.Entry, places), places...)
	}
	for _, l := range places {
		beside := l == here || l.Host == here.Host && l.Scheme == here.Scheme && strings.HasPrefix(l.Path, byHash.Path+"/")
		if r.Login == "" && f.access.Login(l, "") == "" || r.Login != "" && beside {
			first := ""
			if l.Host == r.Suite.Host && strings.HasPrefix(l.Path, r.Suite.Path+"/") {
				first = from
			}
			for _, m := range f.mirrorsAt(l, r.Login, r.Size, first) {
				m.request.Small = isSmall(r.Entry)
				all = append(all, m)
			}
		}
	}
	return all
}

// led returns those of the places of a file that a Release lists at the mirror
// that a redirector led to for that Release.
func (f *Fetcher) led(e catalog.Entry, places []catalog.Location) (there []catalog.Location) {
	from, ok := f.releases.From(e.Suite, e.Release)
	for _, l := range places {
		if moved := l.Moved(e.Suite, from); ok && moved != l {
			there = append(there, moved)
		}
	}
	return there
}

// sources are those of the flight that may be asked.
func (d *download) sources(ctx context.Context, c candidates) iter.Seq[source] {
	return d.fl.sources(ctx, c, isNear(d.usable(c.peers)))
}

// sources yields the sources in the order in which they are asked: peers, with those
// that the DHT finds in time, then mirrors, then peers that turned out slow lately,
// then dated archives; or mirrors first, for a peer that has waited for others. near is
// that of flight.peers.
func (fl *flight) sources(ctx context.Context, c candidates, near bool) iter.Seq[source] {
	return func(yield func(source) bool) {
		var slow []source
		if fl.fromMirror.Load() {
			for _, m := range c.mirrors {
				if !yield(m) {
					return
				}
			}
			c.mirrors = nil
		}
		for p := range fl.peers(ctx, c.peers, near) {
			if fl.f.paces.slow(p.Record()) {
				slow = append(slow, p)
			} else if !yield(p) {
				return
			}
		}
		for _, m := range c.mirrors {
			if !yield(m) {
				return
			}
		}
		for _, p := range slow {
			if !yield(p) {
				return
			}
		}
		for _, m := range c.dated {
			if !yield(m) {
				return
			}
		}
	}
}

// skip reads up to off a stream that may start before it, as from a mirror
// that ignores Range.
func skip(s *peer.Stream, off int64) error {
	if s.Off > off {
		return errNoRange
	}
	_, err := io.CopyN(io.Discard, s, off-s.Off)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
