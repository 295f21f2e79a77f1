package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
	"millpond/internal/swarm/quota"
)

// benchSize is 1 GiB, and less in a short run.
var benchSize int64 = 1 << 30

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

// BenchmarkTransfer takes 1 GiB from one peer, in an open swarm and in one with
// a key; beside it the same bytes over a bare stream of the same connection,
// which is the most that there is, and by plain HTTP over TCP, without
// encryption. CPU time is of both ends.
func BenchmarkTransfer(b *testing.B) {
	if testing.Short() {
		benchSize = 16 << 20
	}
	b.Run("open", func(b *testing.B) { benchTransfer(b, nil) })
	b.Run("key", func(b *testing.B) { benchTransfer(b, NewKey()) })
	b.Run("http", func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, &zeros{})
		}))
		defer server.Close()
		gibibytes(b, func() (io.ReadCloser, error) {
			answer, err := server.Client().Get(server.URL)
			if err != nil {
				return nil, err
			}
			return answer.Body, nil
		})
	})
}

func benchTransfer(b *testing.B, key []byte) {
	shelf := newShelf()
	giver, taker, from := pair(b, func(o *settings) {
		o.Key = key
		o.Inventory = staged{shelf, func(context.Context, peer.Asker, digest.Digest, peer.Request) (peer.Upload, error) {
			return &zeros{}, nil
		}, nil}
	})
	b.Run("swarm", func(b *testing.B) {
		gibibytes(b, func() (io.ReadCloser, error) {
			a, err := from.Open(b.Context(), digest.Digest{1}, peer.Request{})
			if err != nil {
				return nil, err
			}
			return a, nil
		})
	})
	b.Run("stream", func(b *testing.B) {
		giver.host.SetStreamHandler("/bare", func(st network.Stream) {
			defer st.Close()
			st.Read(make([]byte, 1))
			_, _ = io.CopyBuffer(struct{ io.Writer }{st}, &zeros{}, make([]byte, maxChunk))
		})
		gibibytes(b, func() (io.ReadCloser, error) {
			st, err := taker.host.NewStream(b.Context(), giver.self(), "/bare")
			if err != nil {
				return nil, err
			}
			_, err = st.Write([]byte{1})
			return st, err
		})
	})
}

// gibibytes measures how long it takes, and how much of the processors, to read
// what open opens, which are benchSize bytes.
func gibibytes(b *testing.B, open func() (io.ReadCloser, error)) {
	buf := make([]byte, maxChunk)
	b.SetBytes(benchSize)
	before := processors(b)
	for b.Loop() {
		r, err := open()
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
		if err != nil || n != benchSize {
			b.Fatalf("%d bytes, %v", n, err)
		}
		r.Close()
	}
	b.ReportMetric((processors(b)-before).Seconds()/float64(b.N), "cpu-s/GiB")
}

// processors is the CPU time that this process has used.
func processors(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkSmall takes 30 KiB, about the median .deb, one after another.
func BenchmarkSmall(b *testing.B) {
	giver, _, from := pair(b, nil)
	d := giver.shelf.put(randomBytes(30 << 10))
	for b.Loop() {
		a, err := from.Open(b.Context(), d, peer.Request{})
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, a)
		a.Close()
	}
}

// BenchmarkSeeds looks among 10 boxes that list 200,000 blobs each.
func BenchmarkSeeds(b *testing.B) {
	giver := newBox(b, nil).run(b)
	r := rand.New(rand.NewPCG(1, 2))
	random := func() (d digest.Digest) {
		binary.BigEndian.PutUint64(d[:], r.Uint64())
		return d
	}
	var known []digest.Digest
	for i := range 10 {
		journal := inventory.NewJournal()
		list := make([]digest.Digest, 200_000)
		for j := range list {
			d := random()
			journal.Take(peer.Event{Digest: d, Held: true})
			list[j] = d
		}
		slices.SortFunc(list, func(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) })
		known = append(known, list[:1000]...)
		set := inventory.NewSet(&room{all: quota.New[lister](1<<30, 1)})
		frames, _, _ := journal.Since(0)
		for _, f := range frames {
			if err := set.Take(&f); err != nil {
				b.Fatal(err)
			}
		}
		giver.inventories.told[p2p.ID(fmt.Sprint(i))] = &told{Set: set}
	}
	b.Run("hit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if len(giver.Seeds(known[i%len(known)])) == 0 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		for b.Loop() {
			giver.Seeds(random())
		}
	})
}
