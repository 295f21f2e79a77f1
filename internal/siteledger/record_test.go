package siteledger

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// comes has a box report for the first time, and reports whether it is kept.
func (b *testBox) comes(t testing.TB, id, network string, kind peer.Kind, now time.Time) bool {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := peer.Neighbour{Asker: peer.Asker{ID: id, Kind: kind}, Party: netip.MustParsePrefix(network)}
	// The error says that there is no room.
	_ = b.take(n, &Report{Ledger: versionOf([]byte(id))}, question{}, now)
	return b.boxes[id] != nil
}

// The number of boxes is bounded; those that come without end push out their own.
func TestBoxesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	now := time.Now()
	if !a.comes(t, "honest", "10.0.1.0/24", peer.Local, now) {
		t.Fatal("the first box is refused")
	}
	kept := 0
	for i := range 3 * maxLocals {
		if a.comes(t, fmt.Sprint("flood", i), "10.0.2.0/24", peer.Local, now) {
			kept++
		}
	}
	if len(a.boxes) != maxLocals || kept != maxLocals-1 || a.boxes["honest"] == nil {
		t.Errorf("%d boxes, %d of the flood", len(a.boxes), kept)
	}
	if !a.comes(t, "late", "10.0.3.0/24", peer.Local, now) || a.boxes["honest"] == nil || len(a.boxes) != maxLocals {
		t.Error("a box of another network finds no room")
	}
	if !a.comes(t, "member", "10.0.2.0/24", peer.Member, now) {
		t.Error("a member finds no room")
	}
	// Those of the flood that left give way to new ones of it, and not the honest one that
	// left before.
	a.boxes["honest"].connected = false
	for _, r := range a.boxes {
		if r.party == netip.MustParsePrefix("10.0.2.0/24") {
			r.connected = false
		}
	}
	for i := range 3 * maxLocals {
		a.comes(t, fmt.Sprint("second flood", i), "10.0.2.0/24", peer.Local, now)
	}
	if a.boxes["honest"] == nil || a.boxes["late"] == nil {
		t.Error("the second flood pushed out the box of another network")
	}
	for i := range 2 * maxMembers {
		a.comes(t, fmt.Sprint("member", i), "10.0.2.0/24", peer.Member, now)
	}
	if len(a.boxes) != maxLocals+maxMembers {
		t.Errorf("%d boxes, want %d", len(a.boxes), maxLocals+maxMembers)
	}
}

// Of a box whose row is damaged nothing stays that could not be found to be erased; it
// tells all of it again.
func TestDamagedBox(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 70)
	p.exchange(t)
	if n := a.rows(t); n[pointRow] == 0 || n[detailsRow] != 1 {
		t.Fatalf("rows: %v", n)
	}
	if err := a.table.Put(boxKey(boxRow, "b"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	a.open(t, "a", nil)
	if n := a.rows(t); n[pointRow]+n[detailsRow]+n[boxRow] != 0 {
		t.Errorf("rows are left: %v", n)
	}
	p.exchange(t)
	if s := a.Sum(false); s.Boxes != 2 || s.Counts.Delivered() != 70 || s.Clients != 1 {
		t.Errorf("%+v", s)
	}
}

// What a box says of days and minutes is bounded by their number.
func TestPointsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	now := time.Now()
	newest := int64(0)
	p.lies["liar"] = lie(func(r *Report) {})
	for range 20_000/maxPoints + 1 { // a bucket for each day since 1970
		first := newest
		p.lies["liar"] = lie(func(r *Report) {
			for i := range maxPoints {
				r.series[ledger.Day] = append(r.series[ledger.Day], ledger.Point{Start: time.Unix((first+int64(i))*86400, 0).UTC(), Counts: ledger.Counts{Requests: 1}})
			}
		})
		newest += maxPoints
		a.asksAll(t)
	}
	most := int(kept[ledger.Day]/(24*time.Hour)) + 2
	if n := a.rows(t)[pointRow]; n > most || n < most/2 {
		t.Errorf("%d days, want at most %d", n, most)
	}
	a.tidy(now.Add(30 * 24 * time.Hour))
	if n := a.rows(t)[pointRow]; n > most-28 {
		t.Errorf("30 days later %d days", n)
	}
}

// A box that always has more is asked at once ten times, and then as others are.
func TestMoreHasAnEnd(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	asked := 0
	answer := lie(func(r *Report) { r.more = true })
	p.lies["liar"] = func(q []byte) []byte { asked++; return answer(q) }
	for range 3 * maxMore {
		a.ask(t.Context())
	}
	if asked < 2 || asked > maxMore+1 {
		t.Errorf("asked %d times at once, want at most %d", asked, maxMore+1)
	}
}

// Boxes are asked every half minute, and every other second while somebody looks.
func TestHowOftenBoxesAreAsked(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a := p.add(t, "a", nil)
	p.add(t, "b", nil)
	neighbours := a.Reporters()
	now := time.Now()
	due := func(after time.Duration) bool { return len(a.due(neighbours, now.Add(after))) == 1 }
	if !due(0) {
		t.Fatal("a new box is not asked")
	}
	if due(time.Second) || !due(retryAfter) {
		t.Error("a box that did not answer is asked at once again, or not after 5 s")
	}
	a.comes(t, "b", "10.0.0.0/24", peer.Member, now)
	from := retryAfter
	if due(from+lookEvery) || due(from+askEvery-1) || !due(from+askEvery) {
		t.Error("it is not asked every half minute")
	}
	from += askEvery
	a.mu.Lock()
	a.looked = now.Add(from)
	a.mu.Unlock()
	if due(from+time.Second) || !due(from+lookEvery) {
		t.Error("it is not asked every other second while somebody looks")
	}
	if due(from + lookFor + 3*time.Second) {
		t.Error("it is asked as often after that")
	}
}

// Boxes that give no figures are asked ever less often, and others as before.
func TestSilentBoxesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for kind, most := range map[peer.Kind]int{peer.Local: 20, peer.Member: 125} {
		p := newPlace(kind)
		a := p.add(t, "a", nil)
		p.add(t, "b", nil)
		neighbours := append(a.Reporters(), peer.Neighbour{Asker: peer.Asker{ID: "silent", Kind: kind}})
		now := time.Now()
		asked := make(map[string]int)
		for second := range 60 * 60 {
			at := now.Add(time.Duration(second) * time.Second)
			for _, n := range a.due(neighbours, at) {
				asked[n.ID]++
				if n.ID == "b" {
					a.comes(t, "b", "10.0.0.0/24", kind, at)
				}
				a.answered(n.ID, n.ID == "b")
			}
		}
		if asked["silent"] > most || asked["silent"] < 15 || asked["b"] < 120 || asked["b"] > 122 {
			t.Errorf("%s: asked in an hour: %v", kind, asked)
		}
		a.answered("silent", true)
		if got := a.tried["silent"].backOff(kind); got != 0 {
			t.Errorf("%s: %v after an answer", kind, got)
		}
		a.due(neighbours[:1], now)
		if a.answered("silent", false); len(a.tried) != 1 {
			t.Errorf("%s: kept of a box that left: %v", kind, a.tried)
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	var r rates
	if r.perSecond() != (ledger.Counts{}) {
		t.Error("rates of nothing")
	}
	begun := time.Now()
	for i := range 60 {
		r.sample(begun.Add(time.Duration(i)*time.Second), ledger.Counts{DeliveredStore: int64(1000 * i), MirrorTaken: 500})
	}
	if got := r.perSecond(); got != (ledger.Counts{DeliveredStore: 1000}) || len(r.samples) > 12 {
		t.Errorf("%+v of %d samples", got, len(r.samples))
	}
}
