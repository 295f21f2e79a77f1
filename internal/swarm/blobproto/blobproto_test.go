package blobproto

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// one is an Inventory of one blob.
type one []byte

func (one) Watch(context.Context, peer.Kind) iter.Seq[peer.Event] { return nil }

type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

func (o one) Open(_ context.Context, _ peer.Asker, d digest.Digest, _ peer.Request) (peer.Upload, error) {
	if d != digest.Of(o) {
		return nil, fs.ErrNotExist
	}
	return opened{bytes.NewReader(o)}, nil
}

func (one) Manifest(context.Context, peer.Asker, digest.Digest) ([]digest.Digest, error) {
	return nil, fs.ErrNotExist
}

func (one) Pieces(peer.Asker, digest.Digest) (int64, peer.Bitfield, error) {
	return 0, nil, fs.ErrNotExist
}

// serving is a handler of what o has.
func serving(o one) *handler {
	return &handler{inventory: o, Server: NewServer(ServerOptions{
		Kind: func(string) peer.Kind { return peer.Stranger }, Fetches: func(string) bool { return false }, Unlimited: func(string) bool { return false }, Given: func(string, int64) {}, Log: slog.New(slog.DiscardHandler),
	})}
}

func ask(h http.Handler, method string, d digest.Digest) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/blob/"+d.String(), nil))
	return w.Result()
}

func TestHead(t *testing.T) {
	t.Parallel()
	blob := one("a blob")
	d := digest.Of(blob)
	answer := ask(serving(blob).mux(), http.MethodHead, d)
	if answer.StatusCode != http.StatusOK || answer.ContentLength != 6 || answer.Header.Get("ETag") != `"`+d.String()+`"` {
		t.Errorf("got %s with %v", answer.Status, answer.Header)
	}
}

func TestBusyAnswer(t *testing.T) {
	t.Parallel()
	blob := one("a blob")
	h := serving(blob)
	for range maxUploadsPerPeer {
		h.uploads.begin("192.0.2.1:1234", false, nil) // as httptest names its client
	}
	answer := ask(h.mux(), http.MethodGet, digest.Of(blob))
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("got %s with %v", answer.Status, answer.Header)
	}
}

// After drain nothing uses the inventory, whatever still comes in.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := serving(one("a blob"))
	if !h.enter() {
		t.Fatal("refused before the end")
	}
	drained := make(chan struct{})
	go func() { defer close(drained); h.drain() }()
	select {
	case <-drained:
		t.Error("drained while a request runs")
	case <-time.After(10 * time.Millisecond):
	}
	h.running.Done()
	<-drained
	if h.enter() {
		t.Error("a request begins after the end")
	}
}

// sender is a body that brings n bytes every time that pause has passed.
type sender struct {
	ctx   context.Context
	n     int
	pause time.Duration
}

func (s sender) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.pause):
		return min(s.n, len(p)), nil
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

func (sender) Close() error { return nil }

func TestPace(t *testing.T) {
	t.Parallel()
	const slow, fine = 10 * time.Second, time.Second
	for _, c := range []struct {
		name    string
		r       peer.Request
		n       int           // bytes come every
		pause   time.Duration // and the reader is elsewhere for
		away    time.Duration // between two reads
		stalled time.Duration // after so much waiting; 0: never
	}{
		{"a byte in time", peer.Request{}, 1, stallTimeout - time.Second, 0, 0},
		{"no byte in time", peer.Request{}, 1, stallTimeout + time.Second, 0, stallTimeout},
		{"the first byte of a fetch takes longer", peer.Request{Fetch: peer.FetchAnywhere}, 1, stallTimeout + time.Second, 0, stallTimeout + time.Second + stallTimeout},
		{"a pace that is kept", peer.Request{Pace: peer.Pace{Bytes: 100, Per: 10 * time.Second}}, 20, fine, 0, 0},
		{"bytes come, but too few", peer.Request{Pace: peer.Pace{Bytes: 100, Per: 5500 * time.Millisecond}}, 10, fine, 0, 5500 * time.Millisecond},
		{"a pace holds from the first byte", peer.Request{Fetch: peer.FetchAnywhere, Pace: peer.Pace{Bytes: 1, Per: 5 * time.Second}}, 1, slow, 0, 5 * time.Second},
		{"a reader that is elsewhere", peer.Request{Pace: peer.Pace{Bytes: 10, Per: 2 * time.Second}}, 10, fine, time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				suspected := ""
				b := &body{
					watchdog: &watchdog{id: "peer-id", cancel: cancel, stalled: func() { suspected = "peer-id" }, lag: func() time.Duration { return 0 }},
					ctx:      ctx, answer: sender{ctx, c.n, c.pause}, pace: newPacer(c.r), left: -1, took: func(int64) {},
				}
				var err error
				waited := time.Duration(0)
				for reads := 0; reads < 100 && err == nil; reads++ {
					begun := time.Now()
					_, err = b.Read(make([]byte, 1<<10))
					waited += time.Since(begun)
					time.Sleep(c.away)
				}
				if c.stalled == 0 {
					if err != nil || suspected != "" {
						t.Errorf("after %s: %v", waited, err)
					}
					return
				}
				if !errors.Is(err, peer.ErrStalled) || !strings.Contains(err.Error(), "peer-id") || suspected != "peer-id" {
					t.Errorf("got %v, want one that names the peer and wraps %v", err, peer.ErrStalled)
				}
				if waited != c.stalled {
					t.Errorf("stalled after %s of waiting, want %s", waited, c.stalled)
				}
			})
		})
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendManifest(nil, []digest.Digest{{1}, {2}}))
	f.Add(make([]byte, 33))
	f.Fuzz(func(t *testing.T, b []byte) {
		pieces, err := readManifest(bytes.NewReader(b))
		if err == nil && !bytes.Equal(appendManifest(nil, pieces), b) {
			t.Errorf("%x is read as %v", b, pieces)
		}
	})
}

func FuzzReadPieces(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendPieces(nil, 9*peer.PieceSize, []byte{0xff, 1}))
	f.Add(appendPieces(nil, 9*peer.PieceSize, []byte{0xff, 2}))
	f.Add(appendPieces(nil, -1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, have, err := readPieces(bytes.NewReader(b))
		if err != nil {
			return
		}
		if size < 0 || int64(len(have)) > maxPieces/8 || !bytes.Equal(appendPieces(nil, size, have), b) {
			t.Errorf("%x is read as %d, %x", b, size, have)
		}
	})
}

// FuzzContentRange reads the range that an answer claims to contain: it must be within
// what was asked for.
func FuzzContentRange(f *testing.F) {
	for _, text := range []string{"bytes 10-19/100", "bytes 10-19/*", "bytes 10-9/100", "bytes 0-99/100", "bytes 10-9223372036854775807/*", "bytes -1-2/3", "pages 1-2/3", ""} {
		f.Add(text, int64(10), int64(10), int64(10))
		f.Add(text, int64(10), int64(0), int64(-1))
	}
	f.Fuzz(func(t *testing.T, text string, asked, n, length int64) {
		if asked < 0 || n < 0 {
			return // not what a Request has
		}
		answer := &http.Response{ContentLength: length, Header: http.Header{"Content-Range": {text}}}
		off, got, size, err := partial(answer, peer.Request{Off: asked, N: n})
		if err != nil {
			return
		}
		if off != asked || got <= 0 || n > 0 && got > n || size < -1 || size >= 0 && off+got > size || length >= 0 && got != length {
			t.Errorf("%q is read as %d bytes from %d of %d, asked for %d from %d with length %d", text, got, off, size, n, asked, length)
		}
	})
}
