package store

import (
	"fmt"
	"os"
	"testing"
	"time"

	"millpond/internal/digest"
)

func BenchmarkOpenBlob(b *testing.B) {
	s := newBox(b, 1<<30)
	d := s.put(1, 1000)
	b.ReportAllocs()
	for b.Loop() {
		blob, err := s.Open(d)
		if err != nil {
			b.Fatal(err)
		}
		blob.Close()
	}
}

func BenchmarkStat(b *testing.B) {
	s := newBox(b, 1<<30)
	d := s.put(1, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Stat(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStatMiss(b *testing.B) {
	s := newBox(b, 1<<30)
	for b.Loop() {
		_, _ = s.Stat(digest.Digest{1})
	}
}

// BenchmarkWrite is a download of 16 MiB in chunks of 64 KiB, with Commit.
func BenchmarkWrite(b *testing.B) {
	s := newBox(b, 1<<30)
	data, d := content(1, 16<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		p, err := s.Partial(d, int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		for off := 0; off < len(data); off += 64 << 10 {
			if _, err := p.WriteAt(data[off:off+64<<10], int64(off)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := p.Commit(Meta{}); err != nil {
			b.Fatal(err)
		}
		_ = s.Remove(d)
	}
}

// BenchmarkCommit is the end of a download of 200 MB that came at 125 MB/s: what a client
// waits for after its mirror has sent all.
func BenchmarkCommit(b *testing.B) {
	const step, pace = 128 << 10, 125e6
	s := newBox(b, 1<<30)
	data, d := content(1, 1526*step)
	var took time.Duration
	for b.Loop() {
		p, err := s.Partial(d, int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		for off := 0; off < len(data); off += step {
			time.Sleep(time.Until(begun.Add(time.Duration(float64(off) / pace * 1e9))))
			if _, err := p.WriteAt(data[off:off+step], int64(off)); err != nil {
				b.Fatal(err)
			}
		}
		begun = time.Now()
		if _, err := p.Commit(Meta{}); err != nil {
			b.Fatal(err)
		}
		took += time.Since(begun)
		_ = s.Remove(d)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms-commit")
}

// BenchmarkReopen opens a store of 200,000 blobs.
func BenchmarkReopen(b *testing.B) {
	const blobs = 200_000
	s := newBox(b, 1<<40)
	s.stop()
	for i := range blobs {
		d := digest.Of([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if err := os.WriteFile(s.blobPath(d), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	s.start() // writes the rows
	first := time.Since(began)
	for b.Loop() {
		s.restart()
	}
	b.ReportMetric(first.Seconds(), "s/first")
	if got := s.Usage().Blobs; got != blobs {
		b.Fatalf("got %d blobs", got)
	}
}

// BenchmarkNames walks over the index of 200,000 names, and over the blobs of
// one package.
func BenchmarkNames(b *testing.B) {
	const blobs = 200_000
	s := newBox(b, 1<<40)
	var rows []change
	for i := range blobs {
		d := digest.Of([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		m := Meta{Name: fmt.Sprintf("package%d_1.2.3-%d_amd64.deb", i/20, i%20), From: []Provenance{{Name: "archive.example.org"}}}
		r := m.row(1000, time.Unix(1e9, int64(i)))
		rows = append(rows, change{d, nil, &r})
	}
	s.meta.Lock()
	err := s.apply(rows...)
	s.meta.Unlock()
	if err != nil {
		b.Fatal(err)
	}
	count := func(b *testing.B, prefix string, want int) {
		for b.Loop() {
			n := 0
			for _, err := range s.Names(prefix, "") {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != want {
				b.Fatalf("%d names, want %d", n, want)
			}
		}
	}
	b.Run("all", func(b *testing.B) { count(b, "", blobs) })
	b.Run("prefix", func(b *testing.B) { count(b, "package777_", 20) })
	b.Run("blobs", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for i, err := range s.Named("package777_", "") {
				if err != nil || i.Name == "" {
					b.Fatal(i, err)
				}
				n++
			}
			if n != 20 {
				b.Fatalf("%d blobs, want 20", n)
			}
		}
	})
}

// BenchmarkHit is a hit among 200,000 blobs, and the writing of its use.
func BenchmarkHit(b *testing.B) {
	s := newBox(b, 1<<40)
	s.rows(200_000, 1000, time.Now().Add(-100*24*time.Hour))
	d := s.put(1, 1000)
	b.ReportAllocs()
	for b.Loop() {
		blob, err := s.Open(d)
		if err != nil {
			b.Fatal(err)
		}
		blob.Close()
	}
}

// BenchmarkUses writes the uses of a thousand of 200,000 blobs to the table.
func BenchmarkUses(b *testing.B) {
	s := newBox(b, 1<<40)
	all := s.rows(200_000, 1000, time.Now().Add(-100*24*time.Hour))
	for n := 0; b.Loop(); n++ {
		for i := range 1000 {
			s.note(all[(1000*n+i)%len(all)])
		}
		if err := s.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvict evicts one of 200,000 blobs, and adds one; with neighbours half of the
// blobs are last copies.
func BenchmarkEvict(b *testing.B) {
	for name, lastCopy := range map[string]func(digest.Digest) bool{
		"alone":      func(digest.Digest) bool { return false },
		"neighbours": func(d digest.Digest) bool { return d[0]%2 == 0 },
	} {
		b.Run(name, func(b *testing.B) {
			s := newBox(b, 200_000*1000)
			s.rows(200_000, 1000, time.Now().Add(-3*24*time.Hour))
			s.lastCopy = lastCopy
			for n := 0; b.Loop(); n++ {
				d := digest.Of([]byte{1, byte(n), byte(n >> 8), byte(n >> 16)})
				s.meta.Lock()
				freed := s.evict(1000, 0, signed)
				r := Meta{Name: "a.deb"}.row(1000, time.Now())
				err := s.apply(change{d, nil, &r})
				s.count.add(r, 1)
				s.meta.Unlock()
				if freed != 1000 || err != nil {
					b.Fatal(freed, err)
				}
			}
		})
	}
}
