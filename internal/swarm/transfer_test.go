package swarm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// staged is a shelf of which a test opens the blobs itself.
type staged struct {
	*shelf
	open   func(ctx context.Context, by peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error)
	pieces func(d digest.Digest) (int64, peer.Bitfield, error)
}

func (s staged) Open(ctx context.Context, by peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error) {
	return s.open(ctx, by, d, r)
}

func (s staged) Pieces(by peer.Asker, d digest.Digest) (int64, peer.Bitfield, error) {
	if s.pieces == nil {
		return s.shelf.Pieces(by, d)
	}
	return s.pieces(d)
}

// growing is a peer.Upload that comes as the test writes it.
type growing struct {
	*io.PipeReader
	size int64
}

func grow(ctx context.Context, size int64) (*growing, *io.PipeWriter) {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
	return &growing{r, size}, w
}

func (g *growing) Size() int64 { return g.size }

func (g *growing) Seek(off int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return g.size + off, nil
	}
	return off, nil
}

// pair runs a box that gives and one that takes, which are connected.
func pair(t testing.TB, change func(*settings)) (giver, taker *box, from *remote) {
	t.Helper()
	return pairOf(t, change, func(*settings) {})
}

// pairOf is pair with a change of each.
func pairOf(t testing.TB, ofGiver, ofTaker func(*settings)) (giver, taker *box, from *remote) {
	t.Helper()
	giver = newBox(t, ofGiver).run(t)
	taker = newBox(t, func(o *settings) {
		o.Key, o.Bootstrap = giver.options.Key, []string{giver.dialled()}
		ofTaker(o)
	}).run(t)
	until(t, "a connection", func() bool {
		return giver.knows(taker) && taker.knows(giver)
	})
	return giver, taker, taker.peer(giver.self())
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

func readAll(t *testing.T, a *peer.Stream) []byte {
	t.Helper()
	defer a.Close()
	b, err := io.ReadAll(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	var taken, given atomic.Int64
	var name atomic.Value
	giver, taker, from := pairOf(t, func(o *settings) {
		o.Given = func(peer string, n int64) { name.Store(peer); given.Add(n) }
	}, func(o *settings) {
		o.Taken = func(_ string, n int64) { taken.Add(n) }
	})
	blob := randomBytes(3<<20 + 17)
	d, empty := giver.shelf.put(blob), giver.shelf.put(nil)
	size := int64(len(blob))
	sum := int64(0)
	for _, c := range []struct {
		name string
		d    digest.Digest
		r    peer.Request
		want []byte
		off  int64
		size int64
	}{
		{"whole", d, peer.Request{}, blob, 0, size},
		{"head", d, peer.Request{N: 1000}, blob[:1000], 0, size},
		{"middle", d, peer.Request{Off: 1 << 20, N: 1 << 20}, blob[1<<20 : 2<<20], 1 << 20, size},
		{"tail", d, peer.Request{Off: size - 5}, blob[size-5:], size - 5, size},
		{"past the end", d, peer.Request{Off: size - 5, N: 100}, blob[size-5:], size - 5, size},
		{"empty", empty, peer.Request{}, []byte{}, 0, 0},
	} {
		a, err := from.Open(t.Context(), c.d, c.r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := readAll(t, a)
		sum += int64(len(got))
		if !bytes.Equal(got, c.want) || a.Off != c.off || a.Size != c.size {
			t.Errorf("%s: got %d bytes at %d of %d, want %d at %d of %d", c.name, len(got), a.Off, a.Size, len(c.want), c.off, c.size)
		}
	}
	if taken.Load() != sum || given.Load() != sum {
		t.Errorf("counted %d taken and %d given, want %d", taken.Load(), given.Load(), sum)
	}
	if got := name.Load(); got != taker.self().String() {
		t.Errorf("given to %q, want %s", got, taker.self())
	}
	if info := taker.Peers(); len(info) != 1 || info[0].Taken != sum || info[0].Score != 1 {
		t.Errorf("Peers: got %+v, want %d taken and score 1", info, sum)
	}
	if _, err := from.Open(t.Context(), d, peer.Request{Off: size + 1}); err == nil {
		t.Error("a range past the end: no error")
	}
	if _, err := from.Open(t.Context(), digest.Of([]byte("other")), peer.Request{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is not there: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestManifestAndPieces(t *testing.T) {
	t.Parallel()
	shelf := newShelf()
	under := digest.Of([]byte("under way"))
	_, _, from := pair(t, func(o *settings) {
		o.Inventory = staged{shelf, shelf.Open, func(d digest.Digest) (int64, peer.Bitfield, error) {
			if d != under {
				return 0, nil, fs.ErrNotExist
			}
			return 9*peer.PieceSize - 1, []byte{0b1000_0001, 1}, nil
		}}
	})
	d := shelf.put(randomBytes(2*peer.PieceSize + 1))
	want, _ := shelf.Manifest(t.Context(), peer.Asker{}, d)
	got, err := from.Manifest(t.Context(), d)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("manifest: got %v, %v, want %v", got, err, want)
	}
	if _, err := from.Manifest(t.Context(), under); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("manifest of what is not held: %v", err)
	}
	size, have, err := from.Pieces(t.Context(), under)
	if err != nil || size != 9*peer.PieceSize-1 || !bytes.Equal(have, []byte{0b1000_0001, 1}) {
		t.Errorf("pieces: got %d, %b, %v", size, have, err)
	}
	if _, _, err := from.Pieces(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pieces of what is not under way: %v", err)
	}
}

// TestGrowing reads a download in progress: the answer arrives before the first
// byte, each byte as the giver receives it, and a failed download ends in an error.
func TestGrowing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		size int64
		fail bool
	}{
		{"known size", 8, false},
		{"unknown size", -1, false},
		{"known size, fails", 8, true},
		{"unknown size, fails", -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			writers := make(chan *io.PipeWriter, 1)
			_, _, from := pair(t, func(o *settings) {
				o.Inventory = staged{newShelf(), func(ctx context.Context, _ peer.Asker, _ digest.Digest, r peer.Request) (peer.Upload, error) {
					if r.Fetch == peer.NoFetch {
						return nil, fs.ErrNotExist
					}
					g, w := grow(ctx, c.size)
					writers <- w
					return g, nil
				}, nil}
			})
			a, err := from.Open(t.Context(), digest.Digest{1}, peer.Request{Fetch: peer.FetchAnywhere})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if a.Size != c.size {
				t.Errorf("size %d, want %d", a.Size, c.size)
			}
			w := <-writers
			half := make([]byte, 4)
			go w.Write([]byte("1234"))
			if _, err := io.ReadFull(a, half); err != nil || string(half) != "1234" {
				t.Fatalf("got %q, %v before the rest is there", half, err)
			}
			if c.fail {
				go w.CloseWithError(errors.New("the mirror went away"))
				if rest, err := io.ReadAll(a); err == nil {
					t.Errorf("got %q and no error from a download that failed", rest)
				}
				return
			}
			go func() { w.Write([]byte("5678")); w.Close() }()
			if rest, err := io.ReadAll(a); err != nil || string(rest) != "5678" {
				t.Errorf("got %q, %v", rest, err)
			}
		})
	}
}

// TestUploadSlots fills all slots of a peer, is refused, and finds the slots
// free when the bodies are closed, although none was read.
func TestUploadSlots(t *testing.T) {
	t.Parallel()
	_, _, from := pair(t, func(o *settings) {
		o.Inventory = staged{newShelf(), func(ctx context.Context, _ peer.Asker, d digest.Digest, _ peer.Request) (peer.Upload, error) {
			g, _ := grow(ctx, -1)
			return g, nil
		}, nil}
	})
	open := func() (*peer.Stream, error) {
		return from.Open(t.Context(), digest.Digest{1}, peer.Request{Fetch: peer.FetchAnywhere})
	}
	var answers []*peer.Stream
	for range maxUploadsPerPeer {
		a, err := open()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	_, err := open()
	if !errors.Is(err, peer.ErrBusy) {
		t.Errorf("one more: %v, want %v", err, peer.ErrBusy)
	}
	var closing sync.WaitGroup
	for _, a := range answers {
		closing.Go(func() { a.Close() })
	}
	closing.Wait()
	for range maxUploadsPerPeer {
		until(t, "a slot", func() bool {
			a, err := open()
			if err == nil {
				t.Cleanup(func() { a.Close() })
			}
			return err == nil
		})
	}
}

// noted is an Upload that says when it is closed.
type noted struct {
	peer.Upload
	closed chan struct{}
}

func (n noted) Close() error {
	close(n.closed)
	return n.Upload.Close()
}

// TestCancelStopsTheGiver cancels in the middle of a long body: the giver must stop
// long before its end.
func TestCancelStopsTheGiver(t *testing.T) {
	t.Parallel()
	var given atomic.Int64
	over := make(chan struct{})
	shelf := newShelf()
	d := shelf.put(make([]byte, 256<<20))
	_, _, from := pair(t, func(o *settings) {
		o.Given = func(_ string, n int64) { given.Add(n) }
		o.Inventory = staged{shelf, func(ctx context.Context, by peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error) {
			u, err := shelf.Open(ctx, by, d, r)
			return noted{u, over}, err
		}, nil}
	})
	ctx, cancel := context.WithCancel(t.Context())
	a, err := from.Open(ctx, d, peer.Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := io.CopyN(io.Discard, a, 1<<20); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, a); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v, want %v", err, context.Canceled)
	}
	select {
	case <-over:
	case <-time.After(40 * time.Second):
		t.Fatal("the giver did not notice")
	}
	if given.Load() > 128<<20 {
		t.Errorf("%d bytes were given to nobody", given.Load())
	}
}

func TestUploadRate(t *testing.T) {
	long(t)
	t.Parallel()
	const rate, n = 256 << 10, 1 << 20 // 3 s, which no load makes of the rest
	giver, _, from := pair(t, func(o *settings) { o.UploadRate = rate })
	d := giver.shelf.put(make([]byte, n))
	fetch := func() time.Duration {
		begun := time.Now()
		a, err := from.Open(t.Context(), d, peer.Request{})
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, a)
		return time.Since(begun)
	}
	least := time.Duration(float64(n-maxChunk) / rate * float64(time.Second))
	if took := fetch(); took < least {
		t.Errorf("%d bytes took %s, want at least %s", n, took, least)
	}
	giver.SetUploadRate(0)
	if took := fetch(); took >= least {
		t.Errorf("without a limit %d bytes took %s, as with one", n, took)
	}
}
