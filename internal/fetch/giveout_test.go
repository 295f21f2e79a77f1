package fetch

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// A peer that lies in the middle of a file costs its client no break-off: what it sends
// is given out only once the whole is verified, and then it is the mirror's.
func TestLieInTheMiddleIsHealedUnseen(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"alone": 20 * mib, "pieces": 20 * mib})
	alone := r.add(r.seeds, "alone", "liar", lies(2))
	r.add(r.seeds, "pieces", "honest", paced(nil))
	liar := r.add(r.seeds, "pieces", "liar", paced(func(b *box) { b.wrong = []int{0, 1, 2, 3, 4} }))
	for _, pkg := range []string{"alone", "pieces"} {
		r.right(pkg, 1)
	}
	r.quiet()
	for _, b := range []*box{alone, liar} {
		if !b.blamed() {
			t.Errorf("%s is not found out", b)
		}
	}
}

// A peer that sends so slowly that its client would give up does not: meanwhile the
// client gets bytes of the mirror, which count as such, one request at a time.
func TestSlowPeerKeepsItsClient(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"slow": 7 * mib})
	r.timeouts.keepAlive = 300 * time.Millisecond
	// Fast enough not to be set aside for the mirror.
	r.add(r.seeds, "slow", "slow", func(b *box) { b.rate = 3 * mib })
	begun := time.Now()
	f, err := r.get(t.Context(), r.packageAt("slow"), digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	var got []byte
	var early int64 // of the mirror, before the whole was there
	buf := make([]byte, mib)
	for err == nil {
		var n int
		n, err = f.Body.Read(buf)
		if f.Body.Origin() == ledger.FromMirror {
			early += int64(n)
		}
		got = append(got, buf[:n]...)
	}
	if !errors.Is(err, io.EOF) || !bytes.Equal(got, r.data("slow")) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.quiet()
	most := int64(time.Since(begun)/r.timeouts.keepAlive) * keepAliveBytes
	// Some may have come too late for the client, or when the whole was there.
	if sent := r.fromMirror("slow"); early == 0 || early > sent || sent > most {
		t.Errorf("the client got %d bytes of the mirror, which sent %d of at most %d", early, sent, most)
	}
}

// Where the mirror does not answer, the peer's download goes on, and so it does where
// the mirror ignores ranges: to read up to the client's place would cost the file.
func TestNoKeepAliveOfAnUnfitMirror(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"away": 3 * mib, "no-ranges": 3 * mib})
	r.timeouts.keepAlive = 200 * time.Millisecond
	r.mirror.Inject("*/away_*", aptest.Status(404))
	r.mirror.Inject("*/no-ranges_*", aptest.IgnoreRange())
	for _, pkg := range []string{"away", "no-ranges"} {
		r.add(r.seeds, pkg, "slow", func(b *box) { b.rate = 2 * mib })
		r.right(pkg, 1)
	}
	if r.mirror.Requests("*/away_*") == 0 || r.mirror.Requests("*/no-ranges_*") == 0 {
		t.Error("the mirror was not asked")
	}
}

// Bytes of peers that an earlier process left are given out as little as new ones; the
// mirror's are. If the whole is wrong, it is for nobody to answer for.
func TestResumedBytesOfPeersWait(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 4 * mib})
	data, d := r.data("big"), r.digest("big")
	part, err := r.store.Partial(d, int64(len(data)))
	must(t, err)
	_, err = part.WriteTrusted(data[:mib], 0)
	must(t, err)
	_, err = part.WriteAt(make([]byte, mib), mib) // wrong
	must(t, err)
	must(t, part.Close())
	stall := r.mirror.InjectTimes(1, "*/big_*", aptest.Stall(mib))
	f, err := r.get(t.Context(), r.packageAt("big"), digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	head := make([]byte, mib)
	_, err = io.ReadFull(f.Body, head)
	must(t, err)
	r.Fetcher.mu.Lock()
	fl := r.flights[flightKey{digest: d, size: int64(len(data))}]
	r.Fetcher.mu.Unlock()
	fl.mu.Lock()
	if n := fl.released(mib); n != 0 {
		t.Errorf("%d bytes of a peer are given out", n)
	}
	fl.mu.Unlock()
	stall.Release()
	rest, err := io.ReadAll(f.Body)
	if err != nil || !bytes.Equal(append(head, rest...), data) {
		t.Errorf("%d bytes and %d, %v", len(head), len(rest), err)
	}
}

// A peer gets no byte of a download that another peer sent, and is told of no piece of
// it, until it is verified; what the mirror sent it gets at once.
func TestForwardsOnlyTrustedBytes(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 4*peer.PieceSize - 5})
	data, d := r.data("big"), r.digest("big")
	r.timeouts.seed = time.Minute
	r.add(r.seeds, "big", "slow", func(b *box) { b.limit, b.silent = 3*peer.PieceSize, true })
	r.mirror.Inject("*/big_*", aptest.Status(404))
	lent, err := r.Open(t.Context(), local, d, peer.Request{Fetch: peer.FetchAnywhere})
	must(t, err)
	defer lent.Close()
	r.Fetcher.mu.Lock()
	fl := r.flights[flightKey{digest: d, size: int64(len(data))}]
	r.Fetcher.mu.Unlock()
	r.arrived("big", 3*peer.PieceSize)
	pieces := func() (all []int) {
		_, have, err := r.Pieces(local, d)
		must(t, err)
		for i := range 4 {
			if have.Has(i) {
				all = append(all, i)
			}
		}
		return all
	}
	if got := pieces(); len(got) > 0 {
		t.Errorf("told of pieces %v", got)
	}
	fl.mu.Lock()
	part := fl.part
	if n := fl.released(0); n != 0 {
		t.Errorf("%d bytes are given out", n)
	}
	fl.mu.Unlock()
	_, err = part.WriteTrusted(data[:peer.PieceSize+10], 0) // as a mirror beside it
	must(t, err)
	if got := pieces(); !slices.Equal(got, []int{0}) {
		t.Errorf("told of pieces %v, want the first", got)
	}
	must(t, readSome(lent, peer.PieceSize+10))
	fl.mu.Lock()
	if n := fl.released(peer.PieceSize + 10); n != 0 {
		t.Errorf("%d bytes are given out", n)
	}
	fl.mu.Unlock()
}

// What is vouched for of a large file is given out after timeouts.whole, of a smaller
// one not before all is verified; and not what was forgotten since.
func TestVouchedBytesAreGivenOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	flightOf := func(size int64, age time.Duration) *flight {
		part, err := r.store.Create(size)
		must(t, err)
		t.Cleanup(func() { part.Discard() })
		_, err = part.WriteAt(make([]byte, mib), 0)
		must(t, err)
		fl := r.newFlight(flightKey{size: size}, r.entry(r.packageAt("small")))
		fl.size, fl.started = size, time.Now().Add(-age)
		fl.begin(part)
		t.Cleanup(func() { fl.finish(errHeld) })
		return fl
	}
	released := func(fl *flight, off int64) int64 {
		fl.mu.Lock()
		defer fl.mu.Unlock()
		return fl.released(off)
	}
	r.timeouts.whole = 10 * time.Second
	old := flightOf(wholeSize+1, time.Minute)
	old.vouched(100, 200)
	old.vouched(200, 3*mib)
	if got := released(old, 100); got != mib-100 || released(old, 0) != 0 {
		t.Errorf("%d bytes are given out, %d at the beginning", got, released(old, 0))
	}
	small := flightOf(wholeSize, time.Minute)
	small.vouched(0, mib)
	if got := released(small, 0); got != 0 {
		t.Errorf("of a small file %d bytes are given out", got)
	}
	r.timeouts.whole = 20 * time.Millisecond
	young := flightOf(wholeSize+1, 0)
	changed := young.changed.Wait()
	young.vouched(0, mib)
	if got := released(young, 0); got != 0 && time.Since(young.started) < r.timeouts.whole {
		t.Errorf("of a young file %d bytes are given out", got)
	}
	<-changed
	if got := released(young, 0); got != mib {
		t.Errorf("when it is old, %d bytes are given out, want all", got)
	}
	r.timeouts.whole = time.Hour
	wrong := flightOf(wholeSize+1, 0)
	wrong.vouched(0, mib)
	wrong.forgot(10, 20)
	wrong.forgot(0, 5)
	wrong.mu.Lock()
	if want := []store.Range{{Off: 5, End: 10}, {Off: 20, End: mib}}; !slices.Equal(wrong.vouchedFor, want) {
		t.Errorf("vouched for are %v, want %v", wrong.vouchedFor, want)
	}
	wrong.mu.Unlock()
}
