package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDamagedRow(t *testing.T) {
	t.Parallel()
	good := row{first: 1, last: 2, Counts: Counts{Requests: math.MaxInt64}}.encode()
	requests := row{first: 1, last: 2, Counts: Counts{Requests: math.MaxInt64, MirrorRequests: 1}, answers: answers{{200, 1}}}.encode()
	tests := []struct {
		name  string
		key   string
		value []byte
	}{
		{"empty value", "t", nil},
		{"version", "t", append([]byte{4}, good[1:]...)},
		{"requests cut short", "o" + host, requests[:len(good)]},
		{"answers cut short", "o" + host, requests[:len(requests)-1]},
		{"answers out of range", "o" + host, append(bytes.Clone(requests[:len(requests)-1]), bytes.Repeat([]byte{0xff}, 9)...)},
		{"no such status", "o" + host, row{answers: answers{{1000, 1}}}.encode()},
		{"too many statuses", "o" + host, row{answers: slices.Repeat(answers{{200, 1}}, maxStatuses+2)}.encode()},
		{"recent client cut short", "kbash", row{recent: recentClients{{client: client}}}.encode()[:14]},
		{"recent client without an address", "kbash", append([]byte{recentVersion}, append(bytes.Clone(good[1:]), 3, 1, 2, 3, 0, 0, 0)...)},
		{"too many recent clients", "kbash", row{recent: slices.Repeat(recentClients{{client: client}}, maxRecent+1)}.encode()},
		{"cut short", "o" + host, good[:len(good)-1]},
		{"too long", "o" + host, append(bytes.Clone(good), 0)},
		{"out of range", "c192.0.2.7", append([]byte{rowVersion}, binary.AppendUvarint(nil, 1<<63)...)},
		{"endless number", "ppeer", append([]byte{rowVersion}, bytes.Repeat([]byte{0xff}, 20)...)},
		{"unknown key", "x", good},
		{"empty key", "", good},
		{"key of a bucket", "m123", good},
		{"account without a name", "c", good},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, table := openTable(t, t.TempDir())
			openLedger(t, table)
			if err := table.Put([]byte(test.key), test.value); err != nil {
				t.Fatal(err)
			}
			_, err := open(table)
			if err == nil || !strings.Contains(err.Error(), `"`+test.key+`"`) {
				t.Errorf("Open = %v, want an error that names the row %q", err, test.key)
			}
		})
	}
}

// A row damaged while the ledger is open stops the writing, not the counting, and
// the error names it.
func TestDamagedLater(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	if err := table.Put([]byte("o"+host), []byte("bad")); err != nil {
		t.Fatal(err)
	}
	l.Taken(file, 5)
	for _, err := range []error{l.Flush(), l.Err()} {
		if err == nil || !strings.Contains(err.Error(), host) {
			t.Errorf("error = %v, want one that names %s", err, host)
		}
	}
	if err := table.Delete([]byte("o" + host)); err != nil {
		t.Fatal(err)
	}
	l.Taken(file, 5)
	flush(t, l)
	if got := collect(t, l.Hosts("")); len(got) != 1 || got[0].MirrorTaken != 10 {
		t.Errorf("hosts = %+v, want 10 taken", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(row{}.encode())
	f.Add(row{first: 1700000000, last: 1800000000, Counts: Counts{1, 2, 3, 4, 5, 6, 7, 8, 9, math.MaxInt64}}.encode())
	f.Add(row{recent: recentClients{{client: client, last: 1, requests: 2, bytes: 3}}}.encode())
	f.Add(row{Counts: Counts{AvoidedRequests: 1}, recent: recentClients{{client: client, last: 1}}}.encode())
	f.Add(row{recent: recentClients{{client: client, last: 2, requests: 1, bytes: 3, first: 1}, {client: client}}}.encode())
	f.Add(row{Counts: Counts{MirrorRequests: 5}, answers: answers{{404, 2}, {NoAnswer, 3}}}.encode())
	f.Add([]byte{requestsVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}) // of a status, none
	f.Add([]byte{rowVersion, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})               // a zero of two bytes
	f.Add(append([]byte{rowVersion}, bytes.Repeat([]byte{0xff}, 30)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			if !reflect.DeepEqual(r, row{}) {
				t.Errorf("a row %+v and the error %v", r, err)
			}
			return
		}
		fields, requests := r.fields(), r.requests()
		for _, v := range append(requests[:], fields[:]...) {
			if *v < 0 {
				t.Errorf("%x decodes to a negative field: %+v", b, r)
			}
		}
		again, err := decode(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v comes back as %+v, %v", r, again, err)
		}
		if len(r.encode()) > len(b) {
			t.Errorf("%d bytes encode to %d", len(b), len(r.encode()))
		}
	})
}

func BenchmarkDelivered(b *testing.B) {
	l, _ := testLedger(b)
	// A package that many have asked for costs the most.
	for i := range maxRecent {
		l.Request(addr(i), file)
	}
	run := func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Delivered(client, file, FromStore, 32<<10)
			}
		})
	}
	b.Run("contended", func(b *testing.B) { b.SetParallelism(16); run(b) })
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			l.Delivered(client, file, FromStore, 32<<10)
		}
	})
}

// A usual flush: 50 clients that share 25 packages, 5 hosts, 10 peers, over a
// full ledger.
func BenchmarkFlush(b *testing.B) {
	l, _ := testLedger(b)
	name := func(i int) string { return fmt.Sprint("package", i) }
	for i := range maxClients - 1 {
		l.deliver(time.Now(), addr(i), File{host, name(i)}, Counts{Requests: 1})
		if i%500 == 0 {
			flush(b, l)
		}
	}
	for b.Loop() {
		for i := range 50 {
			l.Delivered(addr(i), File{host, name(i % 25)}, FromStore, 1)
			l.Taken(File{string(rune('a'+i%5)) + host, name(i % 25)}, 1)
			l.PeerGiven(string(rune('a'+i%10)), 1)
		}
		flush(b, l)
	}
}

// The largest list: 20,000 packages that 16 clients have asked for.
func BenchmarkPackages(b *testing.B) {
	l, _ := testLedger(b)
	for i := range maxPackages {
		for j := range maxRecent {
			l.deliver(time.Now(), addr(j), File{host, fmt.Sprint("package", i)}, Counts{Requests: 1})
		}
		if i%500 == 0 {
			flush(b, l)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range l.Packages("") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n < maxPackages*9/10 {
			b.Fatalf("%d packages", n)
		}
	}
}
