package swarm

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm/quota"
)

// releasesProtocol asks a box what its mirror has of a suite. The stream that a peer
// opens has one query of releaseQuerySize bytes:
//
//	form       1 byte: 0 InRelease, 1 Release with Release.gpg
//	suite      the SHA-256 of the URL of its directory
//	held       the SHA-256 of the InRelease or Release that the peer holds
//	signature  that of the Release.gpg, or zeros
//
// The box answers with one of these, and before the last two with askingAnswer if it has
// to ask its mirror first:
//
//	unknownAnswer
//	sameAnswer   age
//	otherAnswer  age, length of the first file, length of Release.gpg or 0, the files
//
// Each answer is 1 byte; numbers are varints. The age is how long ago the mirror
// confirmed the Release, in milliseconds: boxes' clocks differ, what passes does not.
const releasesProtocol protocol.ID = "/millpond/releases/1"

const (
	unknownAnswer = iota
	askingAnswer
	sameAnswer
	otherAnswer
)

const (
	releaseQuerySize = 1 + 3*len(digest.Digest{})
	maxReleaseAge    = 24 * time.Hour // the longest TTL

	// releaseSign is how long a peer may take to answer, or to say that it asks its
	// mirror: a client waits.
	releaseSign = 100 * time.Millisecond
	// releaseTimeout ends a stream on which a peer is asked or answered: who asks waits
	// 2 s at most.
	releaseTimeout = 5 * time.Second

	// An apt client asks for some ten suites at once, and a box for each once per TTL.
	releasesPerPeer = 16 // streams in each direction
	releasesBurst   = 256
	releasesPace    = rate.Limit(32) // queries a second

	// releaseSlots bounds the answers being sent that have files, which take up to two
	// descriptors each and some milliseconds. The boxes' networks share them; one that
	// gets none asks the next box.
	releaseSlots = 32
)

var errReleases = errors.New("malformed message about a Release")

// releases answers queries of other boxes.
type releases struct {
	swarm *Swarm
	pace  *pace
	slots *quota.Quota[lister]
	sign  time.Duration // releaseSign but for tests

	mu      sync.Mutex     // guards closed, and running against late additions
	closed  bool           // no more queries are answered
	running sync.WaitGroup // queries being answered
}

func newReleases(s *Swarm) *releases {
	return &releases{
		swarm: s, pace: newPace(releasesPace, releasesBurst), sign: releaseSign,
		slots: quota.New[lister](releaseSlots, 1),
	}
}

// run answers queries from what there is until ctx ends. Part of Run's group.
func (r *releases) run(ctx context.Context, from peer.Releases) error {
	if from == nil {
		return nil
	}
	r.swarm.host.SetStreamHandler(releasesProtocol, func(st network.Stream) {
		r.mu.Lock()
		closed := r.closed
		if !closed {
			r.running.Add(1)
		}
		r.mu.Unlock()
		if closed {
			st.Reset()
			return
		}
		defer r.running.Done()
		r.serve(ctx, st, from)
	})
	<-ctx.Done()
	r.swarm.host.RemoveStreamHandler(releasesProtocol)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

// serve answers one query.
func (r *releases) serve(ctx context.Context, st network.Stream, from peer.Releases) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	id := st.Conn().RemotePeer()
	if r.swarm.banned(id) || !r.swarm.may(id, handing) || r.pace.wait(ctx, id, 1) != nil {
		st.Reset()
		return
	}
	q, err := readReleaseQuery(st)
	if err == nil {
		err = r.answer(ctx, st, from, q)
	}
	if err != nil {
		st.Reset()
		r.swarm.log.Debug("query about a Release not answered", "peer", id, "err", err)
	}
	if errors.Is(err, errReleases) {
		r.swarm.fault(id, peer.Failed, err.Error())
	}
}

// answer answers q and closes st.
func (r *releases) answer(ctx context.Context, st network.Stream, from peer.Releases, q peer.ReleaseQuery) error {
	id := st.Conn().RemotePeer()
	// Where this write fails, so does the next one.
	asking := func() { _, _ = st.Write([]byte{askingAnswer}) }
	offer, err := from.Release(ctx, peer.Asker{ID: id.String(), Kind: r.swarm.kind(id)}, q, asking)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := st.Write([]byte{unknownAnswer}); err != nil {
			return err
		}
		return st.Close()
	}
	if err == nil {
		err = r.give(ctx, st, offer)
	}
	if err != nil {
		return err
	}
	return st.Close()
}

var errNoSlot = errors.New("too many answers are being sent")

// give sends what there is for a query.
func (r *releases) give(ctx context.Context, st network.Stream, o peer.ReleaseOffer) error {
	began := time.Now()
	if o.Open == nil {
		_, err := st.Write(appendRelease(nil, o.Age, nil, nil))
		return err
	}
	by := r.swarm.inventories.lister(st.Conn().RemotePeer())
	if r.slots.Take(by, 1) == 0 {
		return errNoSlot
	}
	defer r.slots.Give(by, 1)
	release, signature, err := o.Open(ctx)
	if err != nil {
		return err
	}
	files := []peer.Upload{release, signature}
	if signature == nil {
		files = files[:1]
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if _, err := st.Write(appendRelease(nil, o.Age+time.Since(began), release, signature)); err != nil {
		return err
	}
	for _, f := range files {
		n, err := io.CopyN(st, f, f.Size())
		r.swarm.transfers.gave(st.Conn().RemotePeer().String(), n)
		if err != nil {
			return err
		}
	}
	return nil
}

func appendReleaseQuery(b []byte, q peer.ReleaseQuery) []byte {
	form := byte(0)
	if q.Pair {
		form = 1
	}
	b = append(append(b, form), q.Suite[:]...)
	return append(append(b, q.Held[:]...), q.Signature[:]...)
}

func readReleaseQuery(r io.Reader) (q peer.ReleaseQuery, err error) {
	var b [releaseQuerySize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return q, err
	}
	n := copy(q.Suite[:], b[1:])
	n += copy(q.Held[:], b[1+n:])
	copy(q.Signature[:], b[1+n:])
	q.Pair = b[0] == 1
	if b[0] > 1 || q.Pair == q.Signature.IsZero() || q.Held.IsZero() {
		return peer.ReleaseQuery{}, fmt.Errorf("%w: a query for the form %d", errReleases, b[0])
	}
	return q, nil
}

// appendRelease appends the answer with these files, without their bytes; both are nil
// if they are those that the peer holds, and signature with InRelease.
func appendRelease(b []byte, age time.Duration, release, signature peer.Upload) []byte {
	ms := uint64(min(max(age, 0), maxReleaseAge).Milliseconds())
	if release == nil {
		return binary.AppendUvarint(append(b, sameAnswer), ms)
	}
	b = binary.AppendUvarint(append(b, otherAnswer), ms)
	b = binary.AppendUvarint(b, uint64(release.Size()))
	if signature == nil {
		return binary.AppendUvarint(b, 0)
	}
	return binary.AppendUvarint(b, uint64(signature.Size()))
}

// readRelease reads the answer to a query of that form. signed is called when the peer
// has given a sign of having read it, took with each number of bytes of the files.
func readRelease(r *bufio.Reader, pair bool, signed func(), took func(int64)) (a peer.ReleaseAnswer, err error) {
	kind, err := r.ReadByte()
	if err != nil {
		return a, err
	}
	signed()
	if kind == askingAnswer {
		if kind, err = r.ReadByte(); err != nil {
			return a, err
		}
	}
	switch kind {
	case unknownAnswer:
		return a, fs.ErrNotExist
	case sameAnswer, otherAnswer:
	default:
		return a, fmt.Errorf("%w: an answer of the kind %d", errReleases, kind)
	}
	age, err := readNumber(r, uint64(maxReleaseAge.Milliseconds()))
	if err != nil {
		return a, err
	}
	a.Age = time.Duration(age) * time.Millisecond
	if kind == sameAnswer {
		return a, nil
	}
	return readReleaseFiles(r, a, pair, took)
}

// readReleaseFiles reads what follows the age in an otherAnswer.
func readReleaseFiles(r *bufio.Reader, a peer.ReleaseAnswer, pair bool, took func(int64)) (peer.ReleaseAnswer, error) {
	first, err := readNumber(r, peer.MaxRelease)
	if err != nil {
		return a, err
	}
	second, err := readNumber(r, peer.MaxRelease)
	if err != nil {
		return a, err
	}
	if first == 0 || pair == (second == 0) {
		return a, fmt.Errorf("%w: files of %d and %d bytes", errReleases, first, second)
	}
	if a.Release, err = readFile(r, first, took); err == nil && pair {
		a.Signature, err = readFile(r, second, took)
	}
	return a, err
}

// readFile reads n bytes. It takes no more memory than has come.
func readFile(r io.Reader, n uint64, took func(int64)) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	took(int64(len(b)))
	if err == nil && uint64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// readNumber reads a number up to most.
func readNumber(r io.ByteReader, most uint64) (uint64, error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	case err != nil || n > most:
		return 0, fmt.Errorf("%w: a number above %d", errReleases, most)
	}
	return n, nil
}

// Release implements peer.Peer.
func (p *remote) Release(ctx context.Context, q peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	a, err := p.swarm.releases.ask(ctx, p.id, q)
	if errors.Is(err, errReleases) {
		p.fault(peer.Failed, err.Error())
	}
	return a, p.explain("the Release of the suite", q.Suite, err)
}

// ask sends a query to the box id and reads its answer.
func (r *releases) ask(ctx context.Context, id p2p.ID, q peer.ReleaseQuery) (a peer.ReleaseAnswer, err error) {
	speaks, err := r.swarm.host.Peerstore().SupportsProtocols(id, releasesProtocol)
	if err != nil || len(speaks) == 0 || !r.swarm.may(id, handing) {
		return a, fmt.Errorf("%w: an older version, or not known yet", fs.ErrNotExist)
	}
	opening, cancel := context.WithTimeout(network.WithNoDial(ctx, "releases"), r.sign)
	defer cancel()
	st, err := r.swarm.host.NewStream(opening, id, releasesProtocol)
	if err != nil {
		return a, fmt.Errorf("opening a stream: %w", err)
	}
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	var silent, signed atomic.Bool
	sign := time.AfterFunc(r.sign+r.swarm.rtts.of(id)+2*r.swarm.options.Lag.Now(), func() {
		silent.Store(true)
		st.Reset()
	})
	defer sign.Stop()
	if _, err = st.Write(appendReleaseQuery(nil, q)); err == nil {
		err = st.CloseWrite()
	}
	if err == nil {
		a, err = readRelease(bufio.NewReader(st), q.Pair,
			func() { signed.Store(sign.Stop()) },
			func(n int64) { r.swarm.transfers.took(id.String(), n) })
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, errReleases):
		return a, err
	case silent.Load():
		return a, peer.ErrSilent
	case signed.Load() && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return a, peer.ErrStalled
	}
	return a, err
}
