package fetch

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// When sources of pieces are left for the mirror, and whether they are blamed for it. The
// mirror is expected to send a megabyte a second after 0.2 s.
func TestPieceWatch(t *testing.T) {
	t.Parallel()
	const (
		ms   = time.Millisecond
		slow = 35e3 // bytes a second
	)
	for name, c := range map[string]struct {
		rates      []float64 // of the sources together, one for each second
		size       int64     // of the file; 0: 40 MiB
		others     float64   // what other downloads get a second
		streams    int64     // of the box
		lag        time.Duration
		among      bool          // the mirror is one of the sources
		fromMirror bool          // a peer wants the file from the mirror
		left       time.Duration // about; 0: not within the seconds
		blamed     bool
	}{
		"slow together":                    {rates: []float64{slow}, left: 700 * ms, blamed: true},
		"fast enough":                      {rates: []float64{2e6, 2e6}},
		"half as fast as the mirror":       {rates: []float64{500e3, 500e3, 500e3}},
		"slow, but silent before":          {rates: []float64{0, slow}, left: 1700 * ms, blamed: true},
		"silent":                           {rates: []float64{0, 0, 0}},
		"fast, then slow":                  {rates: []float64{2e6, slow}, left: 1700 * ms, blamed: true},
		"fast, then silent":                {rates: []float64{2e6, 0}, left: 1600 * ms, blamed: true},
		"slow, and almost over":            {rates: []float64{slow, slow}, size: 16 << 10},
		"slow, as the line is full":        {rates: []float64{slow, slow}, others: 300e3, streams: 10},
		"slow beside others that are fast": {rates: []float64{slow}, others: 2e6, streams: 2, left: 700 * ms, blamed: true},
		"slow, and this box is late":       {rates: []float64{slow, slow}, lag: 250 * ms, left: 1200 * ms, blamed: true},
		"slow with the mirror among them":  {rates: []float64{slow, slow, slow}, among: true},
		"slow, and a peer waits":           {rates: []float64{slow}, fromMirror: true, left: 100 * ms},
		"the same, and this box is late":   {rates: []float64{slow}, lag: time.Hour, fromMirror: true, left: 100 * ms},
		"silent, and a peer waits":         {rates: []float64{0, slow}, fromMirror: true, left: 1100 * ms},
		"fast, and a peer waits":           {rates: []float64{2e6, 2e6}, fromMirror: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{})
			r.lag = func() time.Duration { return c.lag }
			if c.size == 0 {
				c.size = 40 * mib
			}
			d := digest.Of([]byte(name))
			part, err := r.store.Partial(d, c.size)
			must(t, err)
			synctest.Test(t, func(t *testing.T) {
				fl := r.newFlight(flightKey{digest: d}, catalog.Entry{Kind: catalog.Content, Digest: d, Size: c.size})
				fl.begin(part)
				defer fl.closeFile()
				fl.fromMirror.Store(c.fromMirror)
				r.load.streams.Store(max(c.streams, 1))
				dl := &download{fl: fl, tallies: make(map[string]*tally)}
				boxes, w := newWatch(r, dl, part, c.among)
				left := time.Duration(0)
				for k := range 10 * len(c.rates) {
					time.Sleep(100 * ms) // as package pieces asks
					r.load.bytes.Add(int64(c.others / 10))
					if !w.enough(int64(c.rates[k/10] / 10)) {
						left = time.Duration(k+1) * 100 * ms
						break
					}
				}
				if left != c.left {
					t.Errorf("left after %v, want %v", left, c.left)
				}
				w.score()
				var faults []peer.Fault
				if c.blamed {
					faults = []peer.Fault{peer.Slow}
				}
				for i, b := range boxes {
					if !slices.Equal(b.faults(), faults) || r.paces.slow(w.from[i].Record()) != c.blamed {
						t.Errorf("%s has faults %v and is asked later: %v", b, b.faults(), r.paces.slow(w.from[i].Record()))
					}
				}
				if lost := dl.lost; c.blamed != (lost >= maxPoor) || lost > maxPoor+100*ms+r.lateness() {
					t.Errorf("%v are lost", lost)
				}
			})
			must(t, part.Discard())
		})
	}
}

// newWatch is a pieceWatch of two boxes, with the rig's mirror beside them or among them.
func newWatch(r *rig, d *download, part *store.Partial, among bool) ([]*box, *pieceWatch) {
	from := candidates{mirrors: []mirrorSource{r.mirrorAt(r.at("file"), "")}}
	site, boxes, all := newBoxes(), []*box(nil), []*pieceSource(nil)
	for _, name := range []string{"a", "b"} {
		b := &box{name: name, site: site}
		boxes, all = append(boxes, b), append(all, d.pieceSource(d.fl.peerSource(b, seed)))
	}
	if among {
		all = append(all, d.pieceSource(d.mirror(from.mirrors)))
	}
	return boxes, d.watch(part, from, all)
}

// Boxes that send pieces slowly are left for the mirror at once when a peer wants the file
// from there, and not blamed: they had no time to show how fast they are.
func TestSlowPiecesAreLeftForAPeer(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	r.lag = func() time.Duration { return time.Hour } // it loses patience with nobody
	var all []*box
	for _, name := range []string{"a", "b"} {
		all = append(all, r.add(r.seeds, "big", name, func(b *box) { b.rate = 20 << 10 }))
	}
	client := r.reading("big")
	for len(all[0].asks()) == 0 || len(all[1].asks()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := r.mirror.Requests("*/big_*"); n != 0 {
		t.Errorf("%d requests of the mirror before a peer waits", n)
	}
	got, err := r.download(local, r.digest("big"), peer.FetchFromMirror)
	if err != nil || !bytes.Equal(got, r.data("big")) {
		t.Errorf("the peer got %d bytes, %v", len(got), err)
	}
	must(t, <-client)
	if n := r.mirror.Requests("*/big_*"); n != 1 {
		t.Errorf("%d requests of the mirror, want 1", n)
	}
	for _, b := range all {
		if f := b.faults(); f != nil {
			t.Errorf("box %s has faults %v", b, f)
		}
	}
}
