package pieces

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Sink of n pieces, the last one short.
type memory struct {
	want []byte
	sums []digest.Digest // of want, once asked for
	full error

	mu      sync.Mutex
	got     []byte
	from    map[int]string
	writes  map[int]int // by piece: how often
	vouched map[int]bool
}

func newMemory(n int) *memory {
	want := make([]byte, n*peer.PieceSize-100)
	for i := 0; i < len(want); i += 1000 { // enough to tell pieces apart
		want[i] = byte(rand.Uint32())
	}
	return &memory{want: want, got: make([]byte, len(want)), from: make(map[int]string), writes: make(map[int]int), vouched: make(map[int]bool)}
}

func (m *memory) Size() int64 { return int64(len(m.want)) }

func (m *memory) Has(i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.from[i] != ""
}

func (m *memory) Position() int64 { return 0 }

func (m *memory) Write(i int, b []byte, s Source) error {
	if m.full != nil {
		return m.full
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.from[i] != "" {
		return errors.New("a piece is written that is there")
	}
	m.from[i] = s.String()
	m.writes[i]++
	off, _ := peer.PieceAt(i, m.Size())
	copy(m.got[off:], b)
	return nil
}

func (m *memory) Forget(i int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.vouched[i] || m.from[i] == "" {
		return errors.New("a piece is forgotten that is not there, or was vouched for")
	}
	delete(m.from, i)
	return nil
}

func (m *memory) Vouched(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vouched[i] = true
}

// server is a Peer with some data.
type server struct {
	name     string
	data     []byte
	err      error
	block    bool // until it is not wanted any more
	manifest []digest.Digest
	each     time.Duration // for a piece
	drip     time.Duration // for 64 KiB of one
	keep     bool          // after a failure
	stuck    bool          // it never sends the end of a piece
	relay    bool          // it has not verified what it sends
	states   time.Duration // until it states its manifest
	standing peer.Standing

	mu       sync.Mutex
	failures []error
	stated   bool
}

func (s *server) String() string          { return s.name }
func (s *server) Verified() bool          { return !s.relay }
func (s *server) Report(peer.Outcome)     {}
func (s *server) Standing() peer.Standing { return s.standing }

func (s *server) Open(ctx context.Context, off, n int64) (*peer.Stream, error) {
	if s.block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(s.each):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a := &answer{bytes.NewReader(s.data[off : off+n]), ctx, s.drip, func() error { return io.EOF }}
	if s.stuck {
		a = &answer{bytes.NewReader(s.data[off : off+n-1]), ctx, s.drip, func() error {
			<-ctx.Done()
			return ctx.Err()
		}}
	}
	return &peer.Stream{ReadCloser: a, Off: off, Size: -1}, s.err
}

// answer is what a server sends. It calls end for what comes after its bytes.
type answer struct {
	*bytes.Reader
	ctx  context.Context
	drip time.Duration
	end  func() error
}

func (a *answer) Close() error { return nil }

func (a *answer) Read(b []byte) (int, error) {
	if a.Len() == 0 {
		return 0, a.end()
	}
	if a.drip > 0 {
		select {
		case <-time.After(a.drip):
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		}
		b = b[:min(len(b), 64<<10)]
	}
	return a.Reader.Read(b)
}

func (s *server) Failed(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
	return !s.keep
}

func (s *server) Manifest(ctx context.Context) ([]digest.Digest, error) {
	select {
	case <-time.After(s.states):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stated = true
	return s.manifest, nil
}

func (s *server) Pieces(context.Context) (peer.Bitfield, error) {
	return nil, errors.New("it has them all")
}

// mirror is a server that is no Peer.
type mirror struct{ Source }

// options are those of a download of a file of size bytes.
func options(size int64) Options {
	t := time.Minute
	return Options{
		Timeouts: Timeouts{Piece: t, Answer: t, Poll: t, Stall: t}, Buffers: NewBuffers(100),
		Patience:  func() time.Duration { return time.Minute },
		Manifests: NewManifests(size), Log: slog.New(slog.DiscardHandler),
	}
}

func TestFailedSourceIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(5)
		var all []Source
		for range MaxSources {
			all = append(all, &server{name: "bad", data: m.want, err: errors.New("refused")})
		}
		// While it sends its first two pieces, those that fail are asked for the others.
		all = append(all, &server{name: "standby", data: m.want, each: time.Second})
		_, err := Download(t.Context(), m, all, options(m.Size()))
		if err != nil || !bytes.Equal(m.got, m.want) {
			t.Errorf("%v; complete: %v", err, bytes.Equal(m.got, m.want))
		}
		for _, s := range all[:MaxSources] {
			if n := len(s.(*server).failures); n != 1 {
				t.Errorf("a source that failed was told so %d times", n)
			}
		}
	})
}

func TestSinkAndContextEndTheDownload(t *testing.T) {
	t.Parallel()
	m := newMemory(3)
	m.full = errors.New("disk full")
	good := &server{name: "good", data: m.want}
	if _, err := Download(t.Context(), m, []Source{good, good}, options(m.Size())); !errors.Is(err, m.full) {
		t.Errorf("got %v, want the sink's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	blocked := &server{name: "blocked", block: true}
	if _, err := Download(ctx, newMemory(3), []Source{blocked}, options(m.Size())); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if len(blocked.failures) != 0 {
		t.Errorf("the end of the download was reported as failures: %v", blocked.failures)
	}
}
