package blobproto

import (
	"bytes"
	"context"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// one is an Inventory of one blob.
type one []byte

func (one) Watch(context.Context) iter.Seq[peer.Event] { return nil }

type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

func (o one) Open(_ context.Context, d digest.Digest, _ bool) (peer.Upload, error) {
	if d != digest.Of(o) {
		return nil, fs.ErrNotExist
	}
	return opened{bytes.NewReader(o)}, nil
}

func (one) Manifest(context.Context, digest.Digest) ([]digest.Digest, error) {
	return nil, fs.ErrNotExist
}

func (one) Pieces(digest.Digest) (int64, peer.Bitfield, error) { return 0, nil, fs.ErrNotExist }

// serving is a handler of what o has.
func serving(o one) *handler {
	return &handler{inventory: o, Server: NewServer(ServerOptions{
		Unlimited: func(string) bool { return false }, Given: func(string, int64) {}, Log: slog.New(slog.DiscardHandler),
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
