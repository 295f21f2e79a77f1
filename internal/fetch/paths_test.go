package fetch

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// However long the DHT looks, and however often the download asks it, the
// mirror is asked after one head start.
func TestColdPathWaitsOneHeadStart(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	r.findBlocks = true
	r.timeouts.lookup = time.Minute
	r.timeouts.headStart = 1500 * time.Millisecond
	for _, pkg := range []string{"small", "big"} {
		asked := make(chan time.Time, 10)
		r.mirror.OnRequest(func(aptest.Request) { asked <- time.Now() })
		r.lookups.smoothed.Store(0) // nothing is known of the DHT yet
		begun := time.Now()
		r.right(pkg, 1)
		r.mirror.OnRequest(nil)
		if took := (<-asked).Sub(begun); took < r.timeouts.headStart || took >= 2*r.timeouts.headStart {
			t.Errorf("%s: the mirror was asked after %s, with a head start of %s", pkg, took, r.timeouts.headStart)
		}
	}
	begun := time.Now()
	r.quiet() // the lookups end with their downloads
	if took := time.Since(begun); took > r.timeouts.lookup {
		t.Errorf("the lookups went on for %s", took)
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})

	// An owner streams while it downloads.
	r.timeouts.downloader = 2 * time.Second
	size := int64(len(r.data("big")))
	e := r.add(r.owners, "big", "owner", func(b *box) { b.grow(mib) })
	client := r.reading("big")
	r.arrived("big", mib) // before the owner has the rest
	e.grow(size)
	if err := <-client; err != nil || len(e.fetched) != 1 || r.fromMirror("big") != 0 {
		t.Errorf("%v; the owner was asked %d times, the mirror sent %d", err, len(e.fetched), r.fromMirror("big"))
	}
	if got := r.announcements(r.digest("big")); len(got) != 0 {
		t.Errorf("announced %v while the owner is to be asked", got)
	}

	// One that will not, or does not, is followed by the next and the mirror.
	r.add(r.owners, "large", "will not", func(b *box) { b.absent = true })
	r.add(r.owners, "large", "next")
	r.right("large", 1)
	if n := r.fromMirror("large"); n != 0 {
		t.Errorf("the mirror sent %d although the second owner does", n)
	}
	no := r.add(r.owners, "small", "will not", func(b *box) { b.absent = true })
	does := r.add(r.owners, "small", "does not", stalls)
	r.right("small", 1)
	if no.faults() != nil || !slices.Equal(does.faults(), []peer.Fault{peer.Stalled}) {
		t.Errorf("faults %v of who will not, %v of who does not", no.faults(), does.faults())
	}
	if r.fromMirror("small") == 0 {
		t.Error("the mirror sent nothing")
	}
}

// A box that is downloading gives its pieces as it gets them.
func TestDownloadersGiveWhatTheyHave(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 15 * mib})
	size := int64(len(r.data("big")))
	a := r.add(r.downloaders, "big", "a", func(b *box) { b.grow(peer.PieceSize) })
	b := r.add(r.downloaders, "big", "b", func(b *box) { b.grow(peer.PieceSize) })
	client := r.reading("big")
	r.arrived("big", peer.PieceSize)
	a.grow(2 * peer.PieceSize)
	r.arrived("big", 2*peer.PieceSize)
	b.grow(size)
	must(t, <-client)
	if a.gave()+b.gave() < size || r.fromMirror("big") != 0 || a.faults() != nil || b.faults() != nil {
		t.Errorf("gave %d and %d of %d, the mirror %d; faults %v, %v",
			a.gave(), b.gave(), size, r.fromMirror("big"), a.faults(), b.faults())
	}
}

// If they get no more, the download in pieces gives up and the mirror is asked.
func TestDownloadersThatStop(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 11 * mib})
	r.timeouts.downloader = time.Second
	for _, name := range []string{"a", "b"} {
		r.add(r.downloaders, "big", name, func(b *box) { b.grow(peer.PieceSize) })
	}
	r.right("big", 1)
	if n := r.fromMirror("big"); n == 0 || n > int64(len(r.data("big")))-peer.PieceSize+chunk {
		t.Errorf("the mirror sent %d of %d", n, len(r.data("big")))
	}
}

func TestAllPeersDie(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 17 * mib})
	for _, name := range []string{"a", "b"} {
		r.add(r.seeds, "big", name, func(b *box) { b.life = 1 })
	}
	r.add(r.seeds, "big", "c", func(b *box) { b.life, b.limit = 1, mib })
	r.right("big", 1)
	if n := r.fromMirror("big"); n == 0 || n > int64(len(r.data("big")))-peer.PieceSize+chunk {
		t.Errorf("the mirror sent %d of %d", n, len(r.data("big")))
	}
}

func TestMirrorGoneAndOnePeerLeft(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 15 * mib, "cut": 9 * mib})
	left := r.add(r.far, "big", "left", distant(nil))
	r.mirror.Inject("*/big_*", aptest.Truncate(mib)) // of each range
	// It gives one piece: on a busy machine the DHT's answer about the other can
	// come when whoever gives all there is would be done.
	dying := r.add(r.seeds, "big", "dying", distant(func(b *box) { b.life = 1 }))
	f, err := r.get(t.Context(), r.packageAt("big"), digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	h := digest.NewHasher()
	_, err = io.CopyN(h, f.Body, mib)
	must(t, err)
	dying.dead.Store(true)
	r.mirror.Down()
	_, err = io.Copy(h, f.Body)
	if err != nil || h.Digest() != r.digest("big") || left.gave() == 0 {
		t.Errorf("the peer that is left gave %d, the client got %v", left.gave(), err)
	}
	// It is enough that it gives a little each time.
	r.add(r.seeds, "cut", "cut", func(b *box) { b.limit = 3 * mib })
	r.right("cut", 1)
}

// A partial file with holes is completed after a restart.
func TestHolesSurviveRestart(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 17 * mib})
	d, size := r.digest("big"), int64(len(r.data("big")))
	r.timeouts.seed, r.timeouts.piece = time.Minute, time.Minute
	// One never ends its first piece; the other brings some past it.
	r.add(r.seeds, "big", "silent", func(b *box) { b.limit, b.silent = 100, true })
	r.add(r.seeds, "big", "gives", func(b *box) { b.rate = 8 * mib })
	done := make(chan error, 1)
	go func() { _, err := r.compare("big"); done <- err }()
	for n := int64(0); n < 2*peer.PieceSize; time.Sleep(time.Millisecond) {
		r.Fetcher.mu.Lock()
		fl := r.flights[flightKey{digest: d, size: size}]
		r.Fetcher.mu.Unlock()
		if fl == nil {
			continue
		}
		fl.mu.Lock()
		if fl.part != nil {
			n = size - left(fl.part)
		}
		fl.mu.Unlock()
	}
	must(t, r.Fetcher.Close())
	if err := <-done; !errors.Is(err, ErrClosed) || r.held(d) {
		t.Errorf("the client of the closed box got %v, held: %v", err, r.held(d))
	}
	r.reopen()
	r.timeouts = patientTimeouts
	r.boxes.mu.Lock()
	delete(r.seeds, d)
	r.boxes.mu.Unlock()
	for _, name := range []string{"a", "b"} {
		r.add(r.seeds, "big", name, paced(nil))
	}
	got := r.origins("big")
	if got[ledger.FromStore] < peer.PieceSize || got[ledger.FromStore]+got[ledger.FromPeer] != size {
		t.Errorf("by origin %v of %d: not resumed", got, size)
	}
}

// Whatever ends a download, the neighbours are told.
func TestAnnouncementsEnd(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"whole": small, "gone": small, "wrong": small, "left": large, "full": large, "closed": large})
	ends := func(pkg string) {
		t.Helper()
		if got := r.announcements(r.digest(pkg)); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("%s: announced %v", pkg, got)
		}
	}
	r.right("whole", 1)
	ends("whole")
	for pkg, fault := range map[string]aptest.Fault{"gone": aptest.Status(404), "wrong": aptest.Corrupt(9, 1)} {
		r.mirror.Inject("*/"+pkg+"_*", fault)
		if _, _, err := r.read(r.packageAt(pkg)); err == nil {
			t.Errorf("%s: no error", pkg)
		}
		ends(pkg)
	}
	for _, pkg := range []string{"left", "full", "closed"} {
		stall := r.mirror.InjectTimes(1, "*/"+pkg+"_*", aptest.Stall(large/2))
		f, err := r.get(t.Context(), r.packageAt(pkg), digest.Digest{})
		must(t, err)
		must(t, readSome(f.Body, 1000))
		if got := r.announcements(r.digest(pkg)); !slices.Equal(got, []bool{true}) {
			t.Errorf("%s: announced %v during the download", pkg, got)
		}
		switch pkg {
		case "left": // what linger does after its time
			f.Body.Close()
			r.mu.Lock()
			fl := r.flights[flightKey{digest: r.digest(pkg), size: int64(len(r.data(pkg)))}]
			r.mu.Unlock()
			fl.abandon()
			r.quiet()
		case "full":
			r.disk.Full(true)
			stall.Release()
			_, err := io.Copy(io.Discard, f.Body)
			must(t, err)
			r.disk.Full(false)
		case "closed":
			must(t, r.Fetcher.Close())
		}
		stall.Release()
		f.Body.Close()
		ends(pkg)
	}
}

// A cancelled download in pieces leaves nothing running.
func TestPiecesEndWithTheirDownload(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 17 * mib})
	for _, name := range []string{"a", "b", "c"} {
		r.add(r.seeds, "big", name, func(b *box) { b.rate = 100 << 10 })
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.get(ctx, r.packageAt("big"), digest.Digest{}); done <- err }()
	for r.streams.Load() < 3 {
		select {
		case err := <-done:
			t.Fatalf("the download ended before three sources sent: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that left got %v", err)
	}
	begun := time.Now()
	must(t, r.Fetcher.Close())
	if took := time.Since(begun); took > 5*time.Second || r.streams.Load() != 0 {
		t.Errorf("closing took %s and left %d streams", took, r.streams.Load())
	}
}

// Swarm and catalog are asked who has a file once before its first byte.
func TestSourcesAreAskedForOnce(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib, "pieces": 9 * mib})
	r.add(r.seeds, "pieces", "a")
	r.add(r.seeds, "pieces", "b")
	for pkg, want := range map[string]int{
		"small": 4, "big": 4, // seeds, downloaders, owners and the DHT
		"pieces": 3, // with seeds nearby the DHT is not asked
	} {
		r.boxes.mu.Lock()
		r.asked[r.digest(pkg)] = 0
		r.boxes.mu.Unlock()
		r.right(pkg, 1)
		r.quiet()
		if n := r.asked[r.digest(pkg)]; n != want {
			t.Errorf("%s: the swarm was asked %d times, want %d", pkg, n, want)
		}
	}
}

// That a peer does not have a file is reported by the swarm alone, whether an
// inventory or the DHT said that it does.
func TestAbsenceIsNotReported(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	r.timeouts.headStart = time.Minute // the DHT answers late on a busy machine
	absent := func(b *box) { b.absent = true }
	var found atomic.Pointer[box]
	r.mirror.OnRequest(func(aptest.Request) { // which takes part in a large file before the DHT answers
		for end := time.Now().Add(time.Minute); found.Load() != nil && len(found.Load().asks()) == 0 && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond) // polling
		}
	})
	for _, pkg := range []string{"small", "big"} {
		all := []*box{
			r.add(r.seeds, pkg, "seed", absent), r.add(r.downloaders, pkg, "downloader", absent),
			r.add(r.owners, pkg, "owner", absent), r.add(r.far, pkg, "found", absent),
		}
		found.Store(all[3])
		r.right(pkg, 1)
		found.Store(nil)
		for _, b := range all {
			if len(b.asks()) == 0 || b.faults() != nil {
				t.Errorf("%s: %s was asked %d times and has faults %v", pkg, b, len(b.asks()), b.faults())
			}
		}
	}
}

// A peer's stall is not taken for the mirror's: a client is told what the mirror failed
// with.
func TestStallOfAPeerIsNotTheMirrors(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	r.timeouts.seed = 200 * time.Millisecond
	r.add(r.seeds, "large", "silent", func(b *box) { b.limit, b.silent = 1000, true })
	r.mirror.Down()
	_, err := r.compare("large")
	var unreachable *mirror.UnreachableError
	if !errors.As(err, &unreachable) || errors.Is(err, mirror.ErrStalled) || errors.Is(err, peer.ErrStalled) {
		t.Errorf("got %v, want that the mirror is unreachable", err)
	}
}
