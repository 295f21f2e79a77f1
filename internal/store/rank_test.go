package store

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"millpond/internal/digest"
)

// ages opens the store of b again with a clock that the test sets.
func (b *box) ages(now *time.Time) {
	b.Store.now = func() time.Time { return *now }
}

// used notes a use of each blob.
func (b *box) used(all ...digest.Digest) {
	b.t.Helper()
	for _, d := range all {
		blob, err := b.Open(d)
		if err != nil {
			b.t.Fatal(err)
		}
		blob.Close()
	}
	if err := b.Flush(); err != nil {
		b.t.Fatal(err)
	}
}

// The order of ranks is that of the decayed numbers of requests, whenever it is asked for.
func TestRankIsDecayedRequests(t *testing.T) {
	t.Parallel()
	chance := uint64(time.Now().UnixNano())
	t.Log("chance:", chance)
	rnd := rand.New(rand.NewPCG(chance, 0))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type blob struct {
		row
		uses []time.Time
	}
	var blobs []blob
	for range 100 {
		at := start.Add(time.Duration(rnd.Int64N(int64(60 * 24 * time.Hour))))
		b := blob{row{used: at.UnixNano()}, []time.Time{at}}
		for range rnd.IntN(12) {
			at = at.Add(apart + time.Duration(rnd.Int64N(int64(10*24*time.Hour))))
			b.uses, b.row = append(b.uses, at), b.use(at.UnixNano())
		}
		blobs = append(blobs, b)
	}
	requests := func(b blob, now time.Time) (sum float64) {
		for _, at := range b.uses {
			sum += math.Exp2(-float64(now.Sub(at)) / float64(halfLife))
		}
		return sum
	}
	for _, later := range []time.Duration{200 * 24 * time.Hour, 400 * 24 * time.Hour} {
		now := start.Add(later)
		slices.SortFunc(blobs, func(a, b blob) int { return cmp.Compare(a.rank(), b.rank()) })
		for i := 1; i < len(blobs); i++ {
			// Steps are rounded a dozen times, by a quarter of a day each.
			if a, b := requests(blobs[i-1], now), requests(blobs[i], now); a > 1.2*b {
				t.Errorf("after %v: %g requests go before %g", later, a, b)
			}
		}
	}
}

// Parts of a file that are requested one after the other are one use, and one client
// alone cannot keep a file for ever.
func TestWorthIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixNano()
	burst := row{used: now - int64(time.Minute)}
	for range 5 {
		burst = burst.use(now)
	}
	if once := (row{used: now}); burst.rank() != once.rank() {
		t.Errorf("five requests within a minute have rank %d, want %d", burst.rank(), once.rank())
	}
	back := row{used: now}
	for range 10_000 {
		before := back.rank()
		if back = back.use(back.used + int64(apart)); back.rank() < before-int64(worthStep) {
			t.Fatalf("a use took %v from the rank", time.Duration(before-back.rank()))
		}
	}
	if got := time.Duration(back.rank() - back.used); got < 100*24*time.Hour || got > 130*24*time.Hour {
		t.Errorf("the worth of a file used every hour is %v", got)
	}
	again, err := decodeRow(back.encode())
	if err != nil || again.worth != back.worth {
		t.Errorf("%+v, %v", again, err)
	}
	if worthAfter(math.MaxUint8, 0) != math.MaxUint8 {
		t.Error("the worth overflowed")
	}
}

// Rows of the version that counted returns, and of the one before it, have the keys
// in the order of eviction that their versions gave them.
func TestRanksOfOlderRows(t *testing.T) {
	t.Parallel()
	const used = 1_770_000_000_000_000_000
	head := make([]byte, 0, rowSize)
	for _, n := range []uint64{1234, 1_770_000_000, used} {
		head = binary.BigEndian.AppendUint64(head, n)
	}
	head = append(head, 0)
	for name, test := range map[string]struct {
		rest string // of the row, in hex
		rank int64
	}{
		"without returns": {"05" + hex.EncodeToString([]byte("a.deb")) + "00", used},
		"three returns":   {"05" + hex.EncodeToString([]byte("a.deb")) + "00" + "00" + "00" + "00" + "00" + "03", used + 3*int64(12*time.Hour)},
		"all returns":     {"00" + "00" + "00" + "00" + "00" + "01" + "0e", used + 14*int64(12*time.Hour)},
	} {
		rest, err := hex.DecodeString(test.rest)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodeRow(append(slices.Clone(head), rest...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := digest.Of([]byte(name))
		if _, got := parseUseKey(r.useKey(d)); got != test.rank {
			t.Errorf("%s: rank %d, want %d", name, got, test.rank)
		}
		if r.use(used+int64(24*time.Hour)).rank() <= r.rank() {
			t.Errorf("%s: a use does not count", name)
		}
	}
}

// A mirror of the whole archive through the box does not push out what many use, nor
// after a restart; what they used long ago goes.
func TestScanEvictsWhatIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := newBox(t, 20_000)
	now := time.Now()
	b.ages(&now)
	var often, once []digest.Digest
	for i := range 10 {
		often = append(often, b.put(i, 1000))
	}
	for range 4 {
		now = now.Add(7 * 24 * time.Hour)
		b.used(often...)
	}
	for i := 10; i < 20; i++ {
		once = append(once, b.put(i, 1000))
	}
	b.restart()
	b.ages(&now)
	for i := 100; i < 200; i++ { // for five days
		now = now.Add(72 * time.Minute)
		b.put(i, 1000)
	}
	for i := range often {
		b.wantHeld("used by many", often[i], true)
		b.wantHeld("used once", once[i], false)
	}
	now = now.Add(3 * halfLife)
	for i := 200; i < 300; i++ {
		now = now.Add(time.Minute)
		b.put(i, 1000)
	}
	for _, d := range often {
		b.wantHeld("used by many long ago", d, false)
	}
	b.check()
}

// Of the next blobs to be evicted, those that no neighbour has stay if they were
// requested within two weeks.
func TestLastCopyGoesLast(t *testing.T) {
	t.Parallel()
	b := newBox(t, 10_000)
	now := time.Now()
	b.ages(&now)
	last, asked := make(map[digest.Digest]bool), 0
	hook := func(d digest.Digest) bool { asked++; return last[d] }
	b.lastCopy = hook
	long := b.put(0, 1000)
	now = now.Add(lastCopyFor + time.Hour)
	var all []digest.Digest
	for i := 1; i < 10; i++ {
		now = now.Add(time.Minute)
		all = append(all, b.put(i, 1000))
	}
	last[long], last[all[0]], last[all[3]] = true, true, true
	b.put(20, 1000)
	b.wantHeld("last copy of what was requested long ago", long, false)
	b.put(21, 3000)
	for i, want := range []bool{true, false, false, true, false, true} {
		b.wantHeld("blob", all[i], want)
	}
	b.restart()
	b.ages(&now)
	b.lastCopy = hook
	b.put(22, 7000) // for which all but the last copies and one other go
	b.wantHeld("last copy", all[0], true)
	b.wantHeld("last copy", all[3], true)
	b.put(23, 9000)
	b.wantHeld("last copy", all[0], false)
	b.check()

	// Where nothing but last copies is left, as many are asked about as the bound says.
	many := newBox(t, 200_000)
	many.lastCopy = func(digest.Digest) bool { asked++; return true }
	for i := range 200 {
		many.put(i, 1000)
	}
	asked = 0
	many.put(200, 1000)
	if asked != maxAsked+1 && asked != maxAsked {
		t.Errorf("asked about %d blobs to evict one, want %d", asked, maxAsked)
	}
	many.check()
}
