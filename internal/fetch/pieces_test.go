package fetch

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// mib is what pieces are spoken of in.
const mib = 1 << 20

func TestNeighbourInsteadOfMirror(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	r.finds.Store(0)
	for _, pkg := range []string{"small", "large", "big"} {
		b := r.add(r.seeds, pkg, "near "+pkg)
		f := r.want(r.packageAt(pkg), r.data(pkg))
		if n := r.mirror.Requests("*/" + pkg + "_*"); n != 0 {
			t.Errorf("%s: %d requests of the mirror although a neighbour has it", pkg, n)
		}
		if f.Body.Origin() != ledger.FromPeer || b.gave() != int64(len(r.data(pkg))) {
			t.Errorf("%s: counted as %v, the box gave %d", pkg, f.Body.Origin(), b.gave())
		}
		if got := r.announcements(r.digest(pkg)); len(got) != 0 {
			t.Errorf("%s: announced %v while a neighbour holds it whole", pkg, got)
		}
		if n := r.finds.Swap(0); n != 0 {
			t.Errorf("%s: the DHT was asked although a neighbour has it", pkg)
		}
	}
}

// origins reads a package and counts its bytes by origin.
func (r *swarmRig) origins(name string) map[ledger.Origin]int64 {
	r.t.Helper()
	f, err := r.get(r.t.Context(), r.packageAt(name), digest.Digest{})
	must(r.t, err)
	defer f.Body.Close()
	h, got, buf := digest.NewHasher(), make(map[ledger.Origin]int64), make([]byte, 64<<10)
	for {
		n, err := f.Body.Read(buf)
		h.Write(buf[:n])
		got[f.Body.Origin()] += int64(n)
		if err == io.EOF {
			break
		}
		must(r.t, err)
	}
	if h.Digest() != r.digest(name) {
		r.t.Fatalf("%s: a complete wrong file", name)
	}
	return got
}

func TestNeighboursShareALargeFile(t *testing.T) {
	t.Parallel()
	const pkg = "big"
	r := newSwarmRig(t, map[string]int{pkg: 32 * mib})
	d := r.digest(pkg)
	for _, n := range []int{2, 6} {
		delete(r.seeds, d)
		delete(r.announced, d)
		var all []*box
		for i := range n {
			all = append(all, r.add(r.seeds, pkg, string(rune('a'+i)), func(b *box) { b.rate = 8 * mib }))
		}
		size := int64(len(r.data(pkg)))
		if got := r.origins(pkg); got[ledger.FromPeer] != size {
			t.Errorf("%d boxes: by origin %v of %d", n, got, size)
		}
		var asks []int64
		for _, b := range all {
			if len(b.asks()) == 0 {
				t.Errorf("%d boxes: box %s gave nothing", n, b)
			}
			asks = append(asks, b.asks()...)
			if b.blamed() {
				t.Errorf("%d boxes: box %s has faults %v", n, b, b.faults())
			}
		}
		slices.Sort(asks)
		each := len(slices.Compact(slices.Clone(asks)))
		// Twice in the endgame, and on a busy machine where a box seems slow: what is
		// asked for twice otherwise, TestPickerProperties finds.
		if each != peer.Pieces(size) || len(asks) > 2*each {
			t.Errorf("%d boxes: %d requests for %d of %d pieces", n, len(asks), each, peer.Pieces(size))
		}
		if sent := r.fromMirror(pkg); sent != 0 {
			t.Errorf("%d boxes: the mirror sent %d bytes", n, sent)
		}
		if got := r.announcements(d); len(got) != 0 { // nobody could read a byte of it here
			t.Errorf("%d boxes: announced %v", n, got)
		}
		r.quiet() // the client has such a file before the disk
		must(t, r.store.Remove(d))
	}
}

// While the rate to mirrors is limited, what peers have comes from them alone.
func TestLimitedMirrorGivesNoPieces(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"far": 20 * mib})
	r.timeouts.headStart = time.Minute // the DHT answers late on a busy machine
	var rates mirror.Rates
	for h := range rates {
		rates[h] = 1e9
	}
	r.Fetcher.mirror = r.box.NewMirror(mirror.Options{Rates: rates})
	b := r.add(r.far, "far", "b", func(b *box) { b.far = true })
	if got := r.origins("far"); got[ledger.FromPeer] != int64(len(r.data("far"))) || len(b.asks()) == 0 {
		t.Errorf("by origin %v", got)
	}
	if n := r.mirror.Requests("*/far_*"); n != 0 {
		t.Errorf("%d requests of the mirror", n)
	}
}

func TestMirrorIsASourceUnlessAPeerIsNear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"far": 20 * mib, "near": 9 * mib, "owner": 9 * mib})
	slowly := func(b *box) { b.rate, b.far = 4*mib, true }
	b := r.add(r.far, "far", "b", slowly)
	c := r.add(r.seeds, "far", "c", slowly)
	size := int64(len(r.data("far")))
	got := r.origins("far")
	if got[ledger.FromMirror]+got[ledger.FromPeer] != size {
		t.Errorf("by origin %v of %d", got, size)
	}
	if n := r.mirror.Requests("*/far_*"); n == 0 || len(b.asks()) == 0 || len(c.asks()) == 0 {
		t.Errorf("the mirror was asked %d times, the boxes %d and %d", n, len(b.asks()), len(c.asks()))
	}

	// With one of two boxes near, the mirror is left alone; also while an
	// owner is there to ask it.
	r.add(r.seeds, "near", "b", slowly)
	r.add(r.seeds, "near", "d")
	r.right("near", 1)
	r.add(r.far, "owner", "b", slowly)
	r.add(r.far, "owner", "c", slowly)
	r.add(r.owners, "owner", "e", func(b *box) { b.absent = true })
	r.right("owner", 1)
	if n, e := r.fromMirror("near"), r.fromMirror("owner"); n != 0 || e != 0 {
		t.Errorf("the mirror sent %d and %d", n, e)
	}
}

// A mirror that cannot do ranges is no source of pieces, but the last resort
// all the same.
func TestMirrorWithoutRangesInPieces(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"far": 12 * mib})
	r.mirror.Inject("*/far_*", aptest.IgnoreRange())
	b := r.add(r.far, "far", "b", func(b *box) { b.far, b.rate = true, 8*mib })
	r.right("far", 1)
	// Its answer to the request for the first piece is as good as any.
	if b.gave() < int64(len(r.data("far")))-peer.PieceSize {
		t.Errorf("the box gave %d", b.gave())
	}
}

func TestOnlySharedContentIsLookedUp(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	r.right("small", 1)
	r.boxes.mu.Lock()
	for _, path := range []string{"InRelease", "Release", "Release.gpg"} {
		if b := r.archive.Publish(time.Now().Add(-time.Hour)).File("dists/stable/" + path); r.asked[digest.Of(b)] != 0 {
			t.Errorf("%s was looked up", path)
		}
	}
	if r.asked[r.digest("small")] == 0 {
		t.Error("a package was not looked up")
	}
	clear(r.asked)
	r.boxes.mu.Unlock()

	// The same for an archive of an unknown key, and for a file of no index.
	other := &rig{t: t, key: r.key, keys: r.keys, files: r.files, archive: aptest.NewArchive(aptest.NewKey("stranger"), aptest.Suite{}), mirror: aptest.NewMirror(t, aptest.MirrorOptions{})}
	file := other.archive.Add(aptest.Package{Name: "stranger", Version: "1.0", Size: small})
	s := newBoxes()
	other.publish()
	other.open(func(o *Options) { o.Swarm = s })
	other.update()
	other.want(file.Path, file.Data)
	other.mirror.Put("/debian/project/trace", []byte("trace"), time.Now())
	other.want("project/trace", []byte("trace"))
	if len(s.asked) != 0 {
		t.Errorf("%d digests of an unsigned archive were looked up", len(s.asked))
	}
}

func TestReplacedSources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	r := newSwarmRig(t, map[string]int{
		"silent": 11 * mib, "trickle": 11 * mib, "cut": 11 * mib,
		"absent": 11 * mib, "busy": 11 * mib, "refusing": 11 * mib,
	})
	r.timeouts.seed = 2 * time.Second
	r.buffers = pieces.NewBuffers(100) // they do not wait for each other here
	var reads sync.WaitGroup
	for pkg, c := range map[string]struct {
		change func(*box)
		faults []peer.Fault
	}{
		"silent":   {func(b *box) { b.limit, b.silent = mib, true }, []peer.Fault{peer.Slow}},
		"trickle":  {func(b *box) { b.rate = 5000 }, []peer.Fault{peer.Slow}},
		"cut":      {func(b *box) { b.limit = mib }, []peer.Fault{peer.Failed}},
		"absent":   {func(b *box) { b.absent = true }, nil}, // reported by the swarm
		"refusing": {func(b *box) { b.dead.Store(true) }, []peer.Fault{peer.Failed}},
		"busy":     {func(b *box) { b.busy.Store(1000) }, nil},
	} {
		reads.Go(func() {
			// The good ones are slow enough for the bad one's fate to be seen.
			good := []*box{
				r.add(r.seeds, pkg, "good", func(b *box) { b.rate = mib }),
				r.add(r.seeds, pkg, "best", func(b *box) { b.rate = mib }),
			}
			bad := r.add(r.seeds, pkg, "bad", c.change)
			begun := time.Now()
			r.right(pkg, 1)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("%s: took %s", pkg, took)
			}
			if f := bad.faults(); !slices.Equal(f, c.faults) {
				t.Errorf("%s: the bad box has faults %v, want %v", pkg, f, c.faults)
			}
			for _, b := range good {
				if b.blamed() {
					t.Errorf("%s: box %s has faults %v", pkg, b, b.faults())
				}
			}
			if n := r.fromMirror(pkg); n != 0 {
				t.Errorf("%s: the mirror sent %d bytes", pkg, n)
			}
		})
	}
	reads.Wait()
}

// Who does not stall, but is too slow for pieces, is left for the mirror.
func TestPieceTimeOut(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	r.timeouts.piece = time.Second
	r.add(r.seeds, "big", "dead", func(b *box) { b.dead.Store(true) })
	slower := r.add(r.seeds, "big", "slower", func(b *box) { b.rate = mib })
	r.right("big", 1)
	if f := slower.faults(); !slices.Equal(f, []peer.Fault{peer.Slow}) || r.fromMirror("big") == 0 {
		t.Errorf("faults %v, the mirror sent %d", f, r.fromMirror("big"))
	}
}

// A source that fails is replaced by one that was not among the first six.
func TestStandbySources(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 11 * mib})
	for i := range pieces.MaxSources {
		r.add(r.seeds, "big", string(rune('a'+i)), func(b *box) { b.absent = true })
	}
	standby := r.add(r.seeds, "big", "standby")
	r.right("big", 1)
	if size := int64(len(r.data("big"))); standby.gave() != size || r.fromMirror("big") != 0 {
		t.Errorf("the standby gave %d of %d, the mirror %d", standby.gave(), size, r.fromMirror("big"))
	}
}

// Once a piece is there, the slow source that still owes it holds nobody up.
func TestSlowDuplicatesDoNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 11 * mib})
	r.timeouts.seed, r.timeouts.piece = time.Minute, time.Minute
	r.add(r.seeds, "big", "quick")
	owing := r.add(r.seeds, "big", "owing", func(b *box) { b.limit, b.silent = 100, true })
	begun := time.Now()
	r.right("big", 1)
	if took := time.Since(begun); took > 30*time.Second || len(owing.asks()) == 0 {
		t.Errorf("took %s, the slow box was asked %d times", took, len(owing.asks()))
	}
	r.quiet()
	if n := r.streams.Load(); n != 0 || owing.blamed() {
		t.Errorf("%d streams are open after the end, faults %v", n, owing.faults())
	}
}

func TestPiecesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	const places = 6 // maxBuffers would take larger files
	sizes := map[string]int{"a": 15 * mib, "b": 15 * mib, "c": 15 * mib}
	r := newSwarmRig(t, sizes)
	r.buffers = pieces.NewBuffers(places)
	done := make(chan bool)
	for pkg := range sizes {
		for i := range pieces.MaxSources {
			r.add(r.seeds, pkg, string(rune('a'+i)), func(b *box) { b.rate = 8 * mib })
		}
		go func() {
			defer func() { done <- true }()
			r.right(pkg, 1)
		}()
	}
	for range sizes {
		<-done
	}
	if n := r.peak.Load(); n > places || n < places/2 {
		t.Errorf("up to %d pieces at once, want at most %d", n, places)
	}
}

// Boxes of the site that are slow together give way to the mirror, though each is fast
// enough for pieces.
func TestSlowNeighboursGiveWay(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 40 * mib})
	var all []*box
	for _, name := range []string{"a", "b"} {
		all = append(all, r.add(r.seeds, "big", name, func(b *box) { b.rate = 20 << 10 }))
	}
	if err := r.wantEntry(r.entry(r.packageAt("big")), r.data("big")); err != nil {
		t.Error(err)
	}
	for _, b := range all {
		if f := b.faults(); !slices.Equal(f, []peer.Fault{peer.Slow}) {
			t.Errorf("box %s has faults %v", b, f)
		}
	}
	if n := r.mirror.Requests("*/big_*"); n != 1 {
		t.Errorf("%d requests of the mirror, want 1", n)
	}
}
