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
	"time"

	"go.uber.org/goleak"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Sink of n pieces, the last one short.
type memory struct {
	want []byte
	full error

	mu   sync.Mutex
	got  []byte
	from map[int]string
}

func newMemory(n int) *memory {
	want := make([]byte, n*peer.PieceSize-100)
	for i := 0; i < len(want); i += 1000 { // enough to tell pieces apart
		want[i] = byte(rand.Uint32())
	}
	return &memory{want: want, got: make([]byte, len(want)), from: make(map[int]string)}
}

func (m *memory) Size() int64     { return int64(len(m.want)) }
func (m *memory) Has(int) bool    { return false }
func (m *memory) Position() int64 { return 0 }

func (m *memory) Write(i int, b []byte, s Source) error {
	if m.full != nil {
		return m.full
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.from[i] = s.String()
	off, _ := peer.PieceAt(i, m.Size())
	copy(m.got[off:], b)
	return nil
}

// server is a Source with some data.
type server struct {
	name     string
	data     []byte
	err      error
	block    bool // until it is not wanted any more
	manifest []digest.Digest
	each     time.Duration // for a piece
	keep     bool          // after a failure

	mu       sync.Mutex
	failures []error
}

func (s *server) String() string      { return s.name }
func (s *server) Verified() bool      { return true }
func (s *server) Report(peer.Outcome) {}

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
	return &peer.Stream{ReadCloser: io.NopCloser(bytes.NewReader(s.data[off : off+n])), Off: off, Size: -1}, s.err
}

func (s *server) Failed(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
	return !s.keep
}

func (s *server) Manifest(context.Context) ([]digest.Digest, error) { return s.manifest, nil }
func (s *server) Pieces(context.Context) (peer.Bitfield, error)     { return nil, nil }

func options() Options {
	t := time.Minute
	return Options{
		Timeouts: Timeouts{Piece: t, Answer: t, Poll: t, Stall: t}, Buffers: NewBuffers(100), Log: slog.New(slog.DiscardHandler),
	}
}

func TestFailedSourceIsReplaced(t *testing.T) {
	t.Parallel()
	m := newMemory(5)
	var all []Source
	for range MaxSources {
		all = append(all, &server{name: "bad", err: errors.New("refused")})
	}
	all = append(all, &server{name: "standby", data: m.want})
	for _, s := range all[:MaxSources] {
		s.(*server).data = m.want
	}
	r, err := Download(t.Context(), m, all, options())
	if err != nil || !bytes.Equal(m.got, m.want) || len(r.Votes) != 5 {
		t.Errorf("%d votes, %v; complete: %v", len(r.Votes), err, bytes.Equal(m.got, m.want))
	}
	for _, s := range all[:MaxSources] {
		if n := len(s.(*server).failures); n != 1 {
			t.Errorf("a source that failed was told so %d times", n)
		}
	}
}

// Two peers that state the same manifest are believed, and a source that
// differs is dropped; what is right is the caller's to find out.
func TestManifestDecides(t *testing.T) {
	t.Parallel()
	m := newMemory(4)
	sums, err := Digests(bytes.NewReader(m.want))
	if err != nil || len(sums) != 4 {
		t.Fatalf("%d digests, %v", len(sums), err)
	}
	wrong := bytes.Clone(m.want)
	wrong[1], wrong[peer.PieceSize+1], wrong[2*peer.PieceSize+1], wrong[3*peer.PieceSize+1] = 1, 1, 1, 1
	o := options()
	o.Manifest = sums
	r, err := Download(t.Context(), m, []Source{
		&server{name: "wrong", data: wrong}, &server{name: "right", data: m.want},
	}, o)
	if err != nil || !bytes.Equal(m.got, m.want) || r.Corrupt {
		t.Errorf("%v, corrupt %v, complete %v", err, r.Corrupt, bytes.Equal(m.got, m.want))
	}
	for i, from := range m.from {
		if from != "right" {
			t.Errorf("piece %d is from %s", i, from)
		}
	}
	disputed := 0
	for _, v := range r.Votes {
		if v.Sum != sums[v.Piece] {
			disputed++
			if v.Source.String() != "wrong" || v.Manifest || !v.Verified {
				t.Errorf("vote %+v", v)
			}
		}
	}
	if r.Wrong != disputed {
		t.Errorf("%d wrong pieces, %d wrong votes", r.Wrong, disputed)
	}
}

func TestSinkAndContextEndTheDownload(t *testing.T) {
	t.Parallel()
	m := newMemory(3)
	m.full = errors.New("disk full")
	good := &server{name: "good", data: m.want}
	if _, err := Download(t.Context(), m, []Source{good, good}, options()); !errors.Is(err, m.full) {
		t.Errorf("got %v, want the sink's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	blocked := &server{name: "blocked", block: true}
	if _, err := Download(ctx, newMemory(3), []Source{blocked}, options()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if len(blocked.failures) != 0 {
		t.Errorf("the end of the download was reported as failures: %v", blocked.failures)
	}
}
