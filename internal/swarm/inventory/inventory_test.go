package inventory

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// numberedDigest has x as its prefix.
func numberedDigest(x uint64) (d digest.Digest) {
	binary.BigEndian.PutUint64(d[:], x)
	return d
}

func hold(x uint64) peer.Event { return peer.Event{Digest: numberedDigest(x), Held: true} }

// reader is a Set that a test feeds.
// budget is a Room of a test: the entries that are left.
type budget int64

func (b *budget) Take(want int64) int64 {
	got := min(want, int64(*b))
	*b -= budget(got)
	return got
}

func (b *budget) Give(n int64) { *b += budget(n) }

func newBudget(entries budget) *budget { return &entries }

const everyEntry = 1 << 30 // more than a test has

func reader() *Set { return NewSet(newBudget(everyEntry)) }

// through sends frames over the wire to n.
func through(t *testing.T, n *Set, frames []Frame) {
	t.Helper()
	var wire []byte
	for _, f := range frames {
		wire = f.Append(wire)
	}
	r := bufio.NewReader(bytes.NewReader(wire))
	for {
		f, err := Read(r)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = n.Take(f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (n *Set) all() []uint64 { return n.held.list() }

func TestPrefixSet(t *testing.T) {
	t.Parallel()
	var s prefixSet
	model := make(map[uint64]bool)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		x, in := r.Uint64N(20_000), r.IntN(3) > 0
		if got, want := s.set(x, in), model[x] != in; got != want {
			t.Fatalf("step %d: set(%d, %t) = %t, want %t", i, x, in, got, want)
		}
		if in {
			model[x] = true
		} else {
			delete(model, x)
		}
		if y := r.Uint64N(20_000); s.has(y) != model[y] {
			t.Fatalf("step %d: has(%d) = %t", i, y, s.has(y))
		}
	}
	list := s.list()
	if len(list) != len(model) || !slices.IsSorted(list) {
		t.Errorf("%d members, want %d in order", len(list), len(model))
	}
}

// TestJournal follows a journal with a reader that is always there, one that
// looks now and then, and one that comes at the end: all must agree.
func TestJournal(t *testing.T) {
	t.Parallel()
	j := NewJournal()
	r := rand.New(rand.NewPCG(3, 4))
	type follower struct {
		*Set
		at    uint64
		every int
	}
	followers := []*follower{{reader(), 0, 1}, {reader(), 0, 977}, {reader(), 0, 90_000}}
	model, named := make(map[uint64]bool), make(map[uint64]bool)
	for i := range 100_000 {
		switch x, held := r.Uint64N(30_000), r.IntN(3) > 0; i {
		case 60_000:
			j.Take(peer.Event{Reset: true})
			clear(named)
		case 80_000:
			j.Take(peer.Event{Synced: true})
			model = maps.Clone(named)
		default:
			j.Take(peer.Event{Digest: numberedDigest(x), Held: held})
			model[x], named[x] = held, held
		}
		if i%100 == 0 {
			j.Download(numberedDigest(uint64(i%1000)), i%300 == 0)
		}
		for _, f := range followers {
			if i%f.every == 0 || i == 99_999 {
				var frames []Frame
				frames, f.at, _ = j.Since(f.at)
				through(t, f.Set, frames)
			}
		}
	}
	maps.DeleteFunc(model, func(_ uint64, held bool) bool { return !held })
	if want := slices.Sorted(maps.Keys(model)); !slices.Equal(j.held.list(), want) {
		t.Errorf("the journal has %d entries, want %d", len(j.held.list()), len(want))
	}
	for _, f := range followers {
		if !slices.Equal(f.all(), j.held.list()) {
			t.Errorf("every %d: %d entries, want %d", f.every, len(f.all()), len(j.held.list()))
		}
		if int(f.Count()) != len(f.all()) {
			t.Errorf("every %d: counts %d entries, has %d", f.every, f.Count(), len(f.all()))
		}
		for x := range j.downloads {
			if !f.Downloads(numberedDigest(x)) {
				t.Errorf("every %d: download %d is missing", f.every, x)
			}
		}
		if len(f.downloads) != len(j.downloads) {
			t.Errorf("every %d: %d downloads, want %d", f.every, len(f.downloads), len(j.downloads))
		}
		f.Close()
		if left := *f.share.(*budget); left != everyEntry || f.room != maxEntries {
			t.Errorf("every %d: after Close %d entries of the room are in use", f.every, everyEntry-left)
		}
	}
}

// TestRelisting lists 200,000 blobs again, for longer than changes are gathered,
// to a reader that follows: none may leave its view meanwhile, and only the
// difference is sent.
func TestRelisting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const blobs, added, removed = 200_000, 5, 3
		j, n := NewJournal(), reader()
		running := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		go func() { defer close(running); j.Run(ctx) }()
		at, sent := uint64(0), 0
		read := func() {
			var frames []Frame
			frames, at, _ = j.Since(at)
			for _, f := range frames {
				sent += len(f.Append(nil))
			}
			through(t, n, frames)
		}
		list := func(from, to uint64, atLeast int64) { // in 2 s, as fast as 10 µs for each
			j.Take(peer.Event{Reset: true})
			for x := from; x < to; x++ {
				j.Take(hold(x << 32))
				if x%20_000 == 0 {
					time.Sleep(gather)
					synctest.Wait()
					read()
					if got := n.Count(); got < atLeast {
						t.Fatalf("at blob %d of a listing the reader has %d, want %d", x, got, atLeast)
					}
				}
			}
			j.Take(peer.Event{Synced: true})
			time.Sleep(gather)
			read()
		}
		list(0, blobs, 0)
		sent = 0
		list(removed, blobs+added, blobs)
		if got := n.Count(); got != blobs+added-removed {
			t.Errorf("the reader has %d blobs, want %d", got, blobs+added-removed)
		}
		if sent > 200 {
			t.Errorf("%d bytes were sent for %d blobs, want at most 200", sent, added+removed)
		}
		sent = 0
		j.Take(peer.Event{Reset: true}) // a listing that breaks off removes nothing
		time.Sleep(time.Minute)
		read()
		if got := n.Count(); got != blobs+added-removed || sent > 0 {
			t.Errorf("after half a listing the reader has %d blobs and was sent %d bytes", got, sent)
		}
		stop()
		<-running
	})
}

// TestJournalWire keeps an eye on the size of a listing.
func TestJournalWire(t *testing.T) {
	t.Parallel()
	j := NewJournal()
	r := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		j.Take(hold(r.Uint64()))
	}
	frames, _, _ := j.Since(0)
	size := 0
	for _, f := range frames {
		size += len(f.Append(nil))
	}
	if size > 1_600_000 {
		t.Errorf("200,000 blobs are listed in %d bytes, want at most 1.6 MB", size)
	}
}

func TestPublishing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := NewJournal()
		go j.Run(t.Context())
		told := func() time.Duration {
			_, _, more := j.Since(j.next)
			begun := time.Now()
			<-more
			return time.Since(begun)
		}
		go j.Take(hold(1))
		if got := told(); got != gather {
			t.Errorf("a blob is told of after %s, want %s", got, gather)
		}
		go j.Download(numberedDigest(1), true)
		if got := told(); got != 0 {
			t.Errorf("a download is told of after %s, want at once", got)
		}
		synctest.Wait()
		time.Sleep(gather)
		synctest.Wait()
		go j.Download(numberedDigest(1), false)
		if got := told(); got != gather {
			t.Errorf("the end of a download is told of after %s, want %s", got, gather)
		}
	})
}

func TestInventoryBounds(t *testing.T) {
	t.Parallel()
	const room = 1000
	left := newBudget(room)
	n := NewSet(left)
	var list []uint64
	for i := range uint64(3000) {
		list = append(list, 2*i)
	}
	through(t, n, []Frame{{listing: true, first: true, last: true, number: 5, listed: list}})
	if n.Count() != room {
		t.Errorf("a listing of %d left %d entries, want %d", len(list), n.Count(), room)
	}
	through(t, n, []Frame{{from: 5, to: 8, came: []uint64{1, 3, 5}}})
	if n.Count() != room || n.holds(1) {
		t.Errorf("%d entries after three more, want %d", n.Count(), room)
	}
	through(t, n, []Frame{{from: 8, to: 11, went: []uint64{0, 2, 5998}}, {from: 11, to: 12, came: []uint64{1}}})
	if n.Count() != room-1 || !n.holds(1) || n.holds(0) {
		t.Errorf("%d entries after two went and one came, want %d", n.Count(), room-1)
	}
	through(t, n, []Frame{{from: 12, to: 12, begun: []uint64{7, 8}}, {from: 12, to: 12, begun: []uint64{7, 9}}})
	if len(n.downloads) != 1 || *left != 0 {
		t.Errorf("%d downloads in room for one, %d left", len(n.downloads), *left)
	}
	through(t, n, []Frame{{from: 12, to: 12, ended: []uint64{7, 8}}})
	if *left != 1 {
		t.Errorf("%d left after the download, want 1", *left)
	}
	for i := range list {
		list[i]++ // a listing of other blobs
	}
	through(t, n, []Frame{{listing: true, first: true, last: true, number: 13, listed: list}})
	if n.Count() != room || !n.holds(1) || n.holds(2) {
		t.Errorf("another listing left %d entries, want %d", n.Count(), room)
	}
	n.Close()
	if *left != room {
		t.Errorf("%d left after Close, want %d", *left, room)
	}
}

func TestDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	n := reader()
	var begun []uint64
	for i := range uint64(maxDownloads) {
		begun = append(begun, i)
	}
	through(t, n, []Frame{{listing: true, first: true, last: true}, {begun: begun}, {begun: []uint64{1 << 60}}})
	if len(n.downloads) != maxDownloads {
		t.Errorf("%d downloads, want at most %d", len(n.downloads), maxDownloads)
	}
}

func TestInventoryOrder(t *testing.T) {
	t.Parallel()
	full := Frame{listing: true, first: true, last: true, number: 5, listed: []uint64{1}}
	for _, c := range []struct {
		name   string
		frames []Frame
	}{
		{"changes before a listing", []Frame{{from: 5, to: 6}}},
		{"a gap", []Frame{full, {from: 6, to: 7}}},
		{"a repetition", []Frame{full, {from: 5, to: 6}, {from: 5, to: 6}}},
		{"changes within a listing", []Frame{{listing: true, first: true, number: 5}, {from: 5, to: 6}}},
		{"a listing without a beginning", []Frame{{listing: true, last: true, number: 5}}},
		{"a listing of two numbers", []Frame{{listing: true, first: true, number: 5}, {listing: true, last: true, number: 6}}},
		{"a listing that goes back", []Frame{{listing: true, first: true, number: 5, listed: []uint64{7}}, {listing: true, last: true, number: 5, listed: []uint64{7}}}},
	} {
		n := reader()
		var err error
		for _, f := range c.frames {
			if err = n.Take(&f); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, want %v", c.name, err, ErrFrame)
		}
	}
}

// TestLateInventory is no lie: the notice that a blob was removed was in
// transit.
func TestLateInventory(t *testing.T) {
	t.Parallel()
	var s Suspicions
	n := reader()
	through(t, n, []Frame{{listing: true, first: true, last: true, number: 1, listed: []uint64{1, 2, 3, 4, 5, 6, 7, 8}}})
	for x := range uint64(8) {
		if f, _ := s.Refused("", n, numberedDigest(x+1)); f != peer.Failed {
			t.Errorf("refusal %d is %v, want Failed", x, f)
		}
		notice := Frame{from: x + 1, to: x + 2, went: []uint64{x + 1}}
		through(t, n, []Frame{notice})
		s.Clear("", &notice)
		for k, at := range s.seen.seen[""] {
			s.seen.seen[""][k] = at.Add(-grace)
		}
	}
	if f, _ := s.Refused("", n, numberedDigest(1)); f != peer.None {
		t.Error("to refuse what is no longer listed is a fault")
	}
}

// TestFalseInventory is a lie the fourth time, if no notice came.
func TestFalseInventory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Suspicions
		n := reader()
		through(t, n, []Frame{{listing: true, first: true, last: true, number: 1, listed: []uint64{1, 2, 3, 4}}})
		for x := range uint64(maxUntrue) {
			if f, _ := s.Refused("a", n, numberedDigest(x+1)); f != peer.Failed {
				t.Errorf("refusal %d is %v, want Failed", x, f)
			}
		}
		time.Sleep(grace)
		if f, _ := s.Refused("a", n, numberedDigest(4)); f != peer.Lied {
			t.Errorf("one more is %v, want Lied", f)
		}
	})
}

// TestDownloadNotThereYet is no fault either, and is asked for again soon.
func TestDownloadNotThereYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Suspicions
		n := reader()
		through(t, n, []Frame{{listing: true, first: true, last: true, number: 1}, {from: 1, to: 2, begun: []uint64{1}}})
		d := numberedDigest(1)
		if s.Downloader("a", d) {
			t.Error("suspected without a reason")
		}
		if f, _ := s.Refused("a", n, d); f != peer.None {
			t.Error("a fault")
		}
		if !s.Downloader("a", d) {
			t.Error("asked again at once")
		}
		time.Sleep(grace)
		if s.Downloader("a", d) {
			t.Errorf("not asked again after %s", grace)
		}
	})
}

func FuzzFrame(f *testing.F) {
	for _, seed := range []Frame{
		{listing: true, first: true, last: true, number: 1, listed: []uint64{1, 2, 1 << 63}},
		{from: 1, to: 9, came: []uint64{1}, went: []uint64{2, 5}, begun: []uint64{0}, ended: []uint64{3}},
	} {
		f.Add(seed.Append(nil))
	}
	f.Add([]byte{changesFrame, 3, 1, 1, 255})
	f.Add([]byte{listingFrame, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again, err := Read(bufio.NewReader(bytes.NewReader(got.Append(nil))))
		if err != nil || !slices.Equal(again.listed, got.listed) || !slices.Equal(again.came, got.came) || again.to != got.to {
			t.Errorf("%+v becomes %+v, %v", got, again, err)
		}
		for _, list := range [][]uint64{got.listed, got.came, got.went, got.begun, got.ended} {
			if !slices.IsSorted(list) {
				t.Errorf("%v is out of order", list)
			}
		}
		n := reader()
		n.next = got.from
		_ = n.Take(got) // must not panic
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Missing
		d := numberedDigest(1)
		m.Add("a", d)
		if !m.Has("a", d) || m.Has("b", d) || m.Has("a", numberedDigest(2)) {
			t.Error("not exactly what was added")
		}
		m.Remove("a", d)
		if m.Has("a", d) {
			t.Error("still listed after Remove")
		}
		m.Add("a", d)
		time.Sleep(missingFor)
		if m.Has("a", d) {
			t.Error("still listed after missingFor")
		}
		// A peer that lacks much makes nobody forget what another lacks.
		m.Add("b", d)
		for i := range uint64(3 * maxRecent) {
			m.Add("a", numberedDigest(i))
			if m.seen.n > maxRecent {
				t.Fatalf("%d entries", m.seen.n)
			}
		}
		if !m.Has("b", d) {
			t.Error("one peer's entries displaced another's")
		}
		sum := 0
		for _, seen := range m.seen.seen {
			sum += len(seen)
		}
		if sum != m.seen.n {
			t.Errorf("%d entries are counted, %d are there", m.seen.n, sum)
		}
		time.Sleep(missingFor)
		for i := range uint64(maxRecent) { // room is made of what has expired first
			m.Add("c", numberedDigest(i))
		}
		if !m.Has("c", numberedDigest(0)) {
			t.Error("what is new was dropped before what had expired")
		}
	})
}
