package swarm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// shelf is a peer.Inventory in memory.
type shelf struct {
	mu       sync.Mutex // guards the fields below
	blobs    map[digest.Digest][]byte
	watchers map[chan peer.Event]struct{}
}

func newShelf(blobs ...[]byte) *shelf {
	s := &shelf{blobs: make(map[digest.Digest][]byte), watchers: make(map[chan peer.Event]struct{})}
	for _, b := range blobs {
		s.put(b)
	}
	return s
}

func (s *shelf) put(b []byte) digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := digest.Of(b)
	s.blobs[d] = b
	for w := range s.watchers {
		w <- peer.Event{Digest: d, Size: int64(len(b)), Held: true}
	}
	return d
}

func (s *shelf) drop(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, d)
	for w := range s.watchers {
		w <- peer.Event{Digest: d}
	}
}

func (s *shelf) Watch(ctx context.Context, _ peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		s.mu.Lock()
		w := make(chan peer.Event, len(s.blobs)+1024)
		w <- peer.Event{Reset: true}
		for d, b := range s.blobs {
			w <- peer.Event{Digest: d, Size: int64(len(b)), Held: true}
		}
		w <- peer.Event{Synced: true}
		s.watchers[w] = struct{}{}
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watchers, w)
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case h := <-w:
				if !yield(h) {
					return
				}
			}
		}
	}
}

type shelved struct{ *bytes.Reader }

func (shelved) Close() error { return nil }

func (s *shelf) Open(_ context.Context, _ peer.Asker, d digest.Digest, _ peer.Request) (peer.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return shelved{bytes.NewReader(b)}, nil
}

func (s *shelf) Manifest(_ context.Context, _ peer.Asker, d digest.Digest) ([]digest.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	if !ok {
		return nil, fs.ErrNotExist
	}
	var pieces []digest.Digest
	for len(b) > 0 {
		n := min(len(b), 4<<20)
		pieces = append(pieces, sha256.Sum256(b[:n]))
		b = b[n:]
	}
	return pieces, nil
}

func (s *shelf) Pieces(peer.Asker, digest.Digest) (int64, peer.Bitfield, error) {
	return 0, nil, fs.ErrNotExist
}

// lines is a log to look into.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), part)
}

// box is a running Swarm of a test.
type box struct {
	*Swarm
	shelf     *shelf
	inventory peer.Inventory // the shelf, or what a test has instead
	releases  peer.Releases
	reporter  peer.Reporter
	log       *lines
	stop      func() // ends Run and closes; may be called twice
}

// settings are what a test may change of a box.
type settings struct {
	Options
	Inventory peer.Inventory
	Releases  peer.Releases
	Reporter  peer.Reporter
}

// Limits as blobproto has them.
const (
	minHeaderTimeout   = 500 * time.Millisecond
	fetchHeaderTimeout = 3 * time.Second
	stallTimeout       = 4 * time.Second
	maxUploadsPerPeer  = 32
	maxChunk           = 128 << 10
)

// serve runs b until ctx ends.
func (b *box) serve(ctx context.Context) error {
	return b.Run(ctx, Serving{Inventory: b.inventory, Releases: b.releases, Reporter: b.reporter})
}

// newBox makes a box on loopback, in memory but for its key; change may be nil.
func newBox(t testing.TB, change func(*settings)) *box {
	t.Helper()
	b, err := openBox(t.TempDir(), change)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openBox(dir string, change func(*settings)) (_ *box, err error) {
	b := &box{shelf: newShelf(), log: &lines{}}
	o := settings{Options: Options{
		IdentityFile: filepath.Join(dir, "identity"),
		Listen:       []string{"/ip4/127.0.0.1/tcp/0"},
		Mode:         Server,
		Memory:       1 << 30,
		Datastore:    dssync.MutexWrap(ds.NewMapDatastore()),
		Taken:        func(string, int64) {},
		Given:        func(string, int64) {},
		Version:      "test",
		Log:          slog.New(slog.NewTextHandler(b.log, nil)),
		AllowClients: func(netip.Addr) bool { return true },
		Network:      Network{Public: func(netip.Addr) bool { return true }}, // loopback stands for the Internet
	}, Inventory: b.shelf}
	if change != nil {
		change(&o)
	}
	b.inventory, b.releases, b.reporter = o.Inventory, o.Releases, o.Reporter
	if b.Swarm, err = New(o.Options); err != nil {
		return nil, err
	}
	// All boxes are of one site, however busy the machine is.
	ping := b.rtts.ping
	b.rtts.ping = func(ctx context.Context, id p2p.ID) (time.Duration, error) {
		rtt, err := ping(ctx, id)
		return min(rtt, time.Millisecond), err
	}
	return b, nil
}

// run starts b and stops it at the test's end.
func (b *box) run(t testing.TB) *box {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- b.serve(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ran, b.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// knows reports whether b is connected with o and has measured it.
func (b *box) knows(o *box) bool {
	return !b.boxes.connectedSince(o.self()).IsZero() && b.rtts.min(o.self()) > 0
}

// dialled is an entry for Bootstrap that leads to b.
func (b *box) dialled() string { return b.Identity().Addrs[0] }

// long skips a test that takes more than a second, or many boxes, with -short.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}

// patience bounds the wait for what never comes. It says nothing about speed: with
// the race detector, beside other packages' tests, 200,000 blobs take a while.
const patience = 2 * time.Minute

// until waits for what comes about in other goroutines and processes, over
// real sockets.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for: %s", what)
		}
	}
}

// findAll is what the DHT yields for d, neighbours included.
func (b *box) findAll(ctx context.Context, d digest.Digest) map[p2p.ID]bool {
	found := make(chan p2p.ID)
	go b.find(ctx, d, func(p2p.ID) bool { return false }, found)
	ids := make(map[p2p.ID]bool)
	for id := range found {
		ids[id] = true
	}
	return ids
}

func numbered(i int) []byte { return []byte("blob " + strconv.Itoa(i)) }
