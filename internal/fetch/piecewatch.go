package fetch

import (
	"slices"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/store"
)

// maxPoor is for how long sources of pieces may be too slow together. It leaves a box of
// this site the time to ask the mirror within maxSilence.
const maxPoor = 600 * time.Millisecond

// pieceWatch compares what all sources of pieces send together with what a mirror that
// is none of them would.
type pieceWatch struct {
	d      *download
	part   *store.Partial
	from   []*pieceSource
	mirror source // nil for none
	begun  bool   // something has come
	looked time.Time
	had    int64         // bytes of all flights then
	rate   float64       // of the sources together before that, in bytes a second
	lost   time.Duration // for which they were too slow, less what came in it is worth
}

func (d *download) watch(part *store.Partial, c candidates, from []*pieceSource) *pieceWatch {
	w := &pieceWatch{d: d, part: part, from: from, looked: time.Now(), had: d.fl.f.load.bytes.Load()}
	isMirror := func(s *pieceSource) bool { return s.Origin() == ledger.FromMirror }
	if !slices.ContainsFunc(from, isMirror) {
		w.mirror = d.mirror(c.mirrors)
	}
	return w
}

// enough is pieces.Options.Enough. Before the first byte the sources are silent, not slow.
func (w *pieceWatch) enough(n int64) bool {
	f, now := w.d.fl.f, time.Now()
	all, passed := f.load.bytes.Add(n), now.Sub(w.looked)
	total := float64(all-w.had) / passed.Seconds()
	w.looked, w.had = now, all
	w.begun = w.begun || n > 0
	if w.mirror == nil || !w.begun {
		return true
	}
	w.rate = float64(n) / passed.Seconds()
	if !f.isOutpaced(w.rate, total, left(w.part), f.expected(w.mirror)) {
		w.lost = 0
		return true
	}
	w.lost += passed - min(passed, time.Duration(float64(n)/enough*float64(time.Second)))
	if w.d.fl.fromMirror.Load() { // a peer has waited before
		return false
	}
	return w.lost < maxPoor+f.lateness()
}

// score notes that the mirror is to be asked instead of sources that are too slow
// together.
func (w *pieceWatch) score() {
	if w.lost < maxPoor { // they were fast enough, or had no time to show it
		return
	}
	w.d.lost += w.lost
	for _, s := range w.from {
		if !s.tally.out {
			w.d.setAside(s.source, s.tally, w.rate/float64(len(w.from)))
		}
	}
}
