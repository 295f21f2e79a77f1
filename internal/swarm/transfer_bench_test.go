package swarm

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
)

const benchSize = 1 << 30

// zeros is a blob of benchSize that costs nothing to read.
type zeros struct{ off int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.off >= benchSize {
		return 0, io.EOF
	}
	n := min(int64(len(p)), benchSize-z.off)
	z.off += n
	return int(n), nil
}

func (z *zeros) Seek(off int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		off += benchSize
	}
	z.off = off
	return off, nil
}

func (*zeros) Close() error { return nil }
func (*zeros) Size() int64  { return benchSize }

// BenchmarkTransfer takes 1 GiB from one peer; beside it the same bytes over a
// bare stream of the same connection, which is the most that there is, and by
// plain HTTP over TCP, without encryption.
func BenchmarkTransfer(b *testing.B) {
	shelf := newShelf()
	giver, taker, from := pair(b, func(o *Options) {
		o.Holdings = staged{shelf, func(context.Context, digest.Digest, bool) (Content, error) { return &zeros{}, nil }, nil}
	})
	drain := func(b *testing.B, r io.ReadCloser) {
		defer r.Close()
		buf := make([]byte, mostChunk)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
		if err != nil || n != benchSize {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
	b.Run("swarm", func(b *testing.B) {
		b.SetBytes(benchSize)
		for b.Loop() {
			a, err := from.Open(b.Context(), digest.Digest{1}, Request{})
			if err != nil {
				b.Fatal(err)
			}
			drain(b, a.Body)
		}
	})
	b.Run("stream", func(b *testing.B) {
		giver.host.SetStreamHandler("/bare", func(st network.Stream) {
			defer st.Close()
			st.Read(make([]byte, 1))
			io.CopyBuffer(struct{ io.Writer }{st}, &zeros{}, make([]byte, mostChunk))
		})
		b.SetBytes(benchSize)
		for b.Loop() {
			st, err := taker.host.NewStream(b.Context(), giver.self(), "/bare")
			if err != nil {
				b.Fatal(err)
			}
			st.Write([]byte{1})
			drain(b, st)
		}
	})
	b.Run("http", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, &zeros{})
		}))
		defer server.Close()
		b.SetBytes(benchSize)
		for b.Loop() {
			answer, err := server.Client().Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, answer.Body)
		}
	})
}

// BenchmarkSmall takes 30 KiB, about the median .deb, one after another.
func BenchmarkSmall(b *testing.B) {
	giver, _, from := pair(b, nil)
	d := giver.shelf.put(randomBytes(30 << 10))
	for b.Loop() {
		a, err := from.Open(b.Context(), d, Request{})
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
	}
}

// BenchmarkNeighbours looks among 10 boxes that list 200,000 blobs each.
func BenchmarkNeighbours(b *testing.B) {
	giver := newBox(b, nil).run(b)
	r := rand.New(rand.NewPCG(1, 2))
	var known []uint64
	for i := range 10 {
		list := make([]uint64, 200_000)
		for j := range list {
			list[j] = r.Uint64()
		}
		slices.Sort(list)
		known = append(known, list[:1000]...)
		id := peer.ID(fmt.Sprint(i))
		giver.inventories.boxes[id] = &inventory{owner: giver.inventories, id: id, room: maxEntries, held: prefixSet{sorted: list}}
	}
	b.Run("hit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if len(giver.Neighbours(numberedDigest(known[i%len(known)]))) == 0 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		for b.Loop() {
			giver.Neighbours(numberedDigest(r.Uint64()))
		}
	})
}
