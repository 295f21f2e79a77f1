package swarm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"
	"time"

	dhtrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

// benchBoxes are connected boxes whose records are in Badger.
func benchBoxes(b *testing.B, n int, before func(i int, o *settings)) []*box {
	log := slog.New(slog.DiscardHandler)
	boxes := make([]*box, n)
	for i := range boxes {
		db, err := kv.Open(b.TempDir(), log)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		boxes[i] = newBox(b, func(o *settings) {
			o.Datastore, o.Log = db.Datastore("swarm"), log
			if i > 0 {
				o.Bootstrap = []string{boxes[0].dialled()}
			}
			if before != nil {
				before(i, o)
			}
		}).run(b)
	}
	for _, x := range boxes {
		until(b, "all are connected", func() bool { return x.Status().Neighbours == n-1 })
	}
	return boxes
}

func nth(box, i int) digest.Digest {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(box))
	binary.BigEndian.PutUint64(b[8:], uint64(i))
	return digest.Of(b[:])
}

// BenchmarkFind measures a look-up in the DHT of 10 boxes that hold 200,000
// records each: of a blob that another box has, and of one that nobody has.
// The asked box has no record of its own, so that each look-up goes out.
func BenchmarkFind(b *testing.B) {
	const boxesN, perBox = 10, 200_000
	boxes := benchBoxes(b, boxesN, nil)
	begun := time.Now()
	for i, x := range boxes {
		store, err := dhtrecords.NewProviderManager(x.self(), x.host.Peerstore(), x.options.Datastore, dhtrecords.ProvideValidity(recordValidity))
		if err != nil {
			b.Fatal(err)
		}
		for j := range perBox {
			if err := store.AddProvider(b.Context(), multihashOf(nth(i, j)), p2p.AddrInfo{ID: x.self()}); err != nil {
				b.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("records written in %v", time.Since(begun))
	asker := boxes[0]
	b.Run("hit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			// The first provider is what a fetch waits for.
			ctx, cancel := context.WithCancel(b.Context())
			found := make(chan p2p.ID)
			of := 1 + i%(boxesN-1)
			go asker.find(ctx, nth(of, i%perBox), func(p2p.ID) bool { return false }, found)
			if id, ok := <-found; !ok || id != boxes[of].self() {
				b.Fatalf("look-up %d found nothing", i)
			}
			b.StopTimer()
			cancel()
			for range found {
			}
			b.StartTimer()
		}
	})
	b.Run("miss", func(b *testing.B) {
		var d digest.Digest
		for b.Loop() {
			rand.Read(d[:])
			if n := len(asker.findAll(b.Context(), d)); n != 0 {
				b.Fatalf("found %d providers", n)
			}
		}
	})
}

// BenchmarkAnnounce measures how long one of 10 boxes takes to announce
// 200,000 blobs, and what that costs the whole process, all boxes together.
func BenchmarkAnnounce(b *testing.B) {
	const blobs = 200_000
	for b.Loop() {
		boxes := benchBoxes(b, 10, nil)
		s := boxes[9]
		begun := time.Now()
		for i := range blobs {
			s.shelf.put(fmt.Appendf(nil, "blob %d", i))
		}
		for a, n := int64(0), int64(0); a < blobs || n < blobs; a, n, _ = s.announcer.progress() {
			if time.Since(begun) > 10*time.Minute {
				b.Fatalf("%d of %d announced", a, n)
			}
			time.Sleep(100 * time.Millisecond)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/200k")
		records := int64(0)
		for _, x := range boxes {
			if err := x.records.count(b.Context()); err != nil {
				b.Fatal(err)
			}
			records += x.records.n.Load()
		}
		b.ReportMetric(float64(records)/blobs, "records/blob")
		b.StopTimer()
		for _, x := range boxes {
			x.stop()
		}
		b.StartTimer()
	}
}
