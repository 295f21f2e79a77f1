package rings

import (
	"context"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/party"
)

// sweep brings the pins in step with the generations that are kept: it pins the files of
// those that are new, forgets past generations whose files have no room, and releases
// what no generation needs.
func (r *Rings) sweep(ctx context.Context) {
	kept := r.kept()
	if len(kept) == 0 {
		return // as after the loss of the database: nothing is known yet
	}
	r.pinKept(ctx, kept)
	needs := r.needsOf(kept)
	for range maxForgotten {
		victim, ok := r.tooMuch(kept, needs)
		if !ok || ctx.Err() != nil {
			break
		}
		if err := r.catalog.ForgetPast(victim.suite, victim.generation); err != nil {
			r.log.Warn("past generation not forgotten", "suite", victim.suite.String(), "err", err)
			break
		}
		delete(kept, victim)
		needs.forget(victim)
	}
	r.releasePast(needs)
	for _, ring := range r.pins.names() {
		r.releaseOf(ring, false)
	}
	r.relieveRings()
}

// maxForgotten bounds the generations that one sweep forgets.
const maxForgotten = 16

// files are the Release files of a generation.
type files struct {
	past    bool            // not in force
	release []digest.Digest // none of one that nobody uses
	used    int64           // when it was superseded, in Unix time in nanoseconds
}

// kept returns the signed generations that the catalog has, of all suites with a past or
// in a ring.
func (r *Rings) kept() map[held]files {
	all := make(map[held]files)
	for _, s := range r.catalog.Suites() {
		for _, m := range r.catalog.Moments(s.Location) {
			if !m.Signed || m.Private {
				continue
			}
			f := files{past: m.ID != s.Current.ID, used: m.Superseded.UnixNano()}
			if f.past || len(s.Indices) > 0 {
				f.release = []digest.Digest{m.ID}
				if !m.Signature.IsZero() {
					f.release = append(f.release, m.Signature)
				}
			}
			all[held{s.Location, m.ID}] = f
		}
	}
	return all
}

// pinKept pins the Release files, and the indices that are held, of generations that are
// new since the last sweep: of one that is in force the Release files alone, since its
// indices are in use, and within half of the share. Package release pins those, too, but
// not for a moment longer.
func (r *Rings) pinKept(ctx context.Context, kept map[held]files) {
	r.pins.mu.Lock()
	if r.pins.scanned == nil {
		r.pins.scanned = make(map[held]bool)
	}
	for h := range r.pins.scanned {
		if f, ok := kept[h]; !ok || !f.past {
			delete(r.pins.scanned, h)
		}
	}
	r.pins.mu.Unlock()
	for h, f := range kept {
		for _, d := range f.release {
			if f.past || r.pins.pinned("") < r.share("")/2 {
				r.pinPast(d, h)
			}
		}
		if !f.past || r.isScanned(h) {
			continue
		}
		for e, err := range r.catalog.Listed(h.suite, h.generation) {
			if err != nil || ctx.Err() != nil {
				break
			}
			r.pinPast(e.Digest, h)
		}
	}
}

// isScanned reports whether h was seen before, and notes that it was.
func (r *Rings) isScanned(h held) bool {
	r.pins.mu.Lock()
	defer r.pins.mu.Unlock()
	was := r.pins.scanned[h]
	r.pins.scanned[h] = true
	return was
}

func (r *Rings) pinPast(d digest.Digest, h held) {
	if err := r.pin(d, ""); err != nil && !unkept(err) {
		r.log.Warn("file of a generation not pinned", "suite", h.suite.String(), "digest", d, "err", err)
	}
}

// tooMuch returns the past generation that gives way first if the files of the past use
// up their share, or those of one archive half of it: with an eighth left over for more.
func (r *Rings) tooMuch(kept map[held]files, needs needs) (victim held, over bool) {
	share := r.share("") / 8 * 7
	alone := r.alone(needs)
	byHost, sum := make(map[string]int64), int64(0)
	for h, n := range alone.bytes {
		byHost[party.Of(h.suite.Host)] += n
		sum += n
	}
	var all []held
	var entries []party.Entry
	for h, n := range alone.bytes {
		crowds := byHost[party.Of(h.suite.Host)] > share/2
		if n > 0 && kept[h].past && !r.Holds(h.suite, h.generation) && (crowds || sum+alone.shared > share) {
			all = append(all, h)
			entries = append(entries, party.Entry{Host: h.suite.Host, Weight: byHost[party.Of(h.suite.Host)], Used: kept[h].used})
		}
	}
	if i := party.First(entries); i >= 0 {
		return all[i], true
	}
	return held{}, false
}

// weights are the bytes of pinned files of the past.
type weights struct {
	bytes  map[held]int64 // by the one generation that needs them
	shared int64          // that several need
}

func (r *Rings) alone(needs needs) weights {
	w := weights{bytes: make(map[held]int64)}
	r.pins.mu.Lock()
	defer r.pins.mu.Unlock()
	for d, by := range needs {
		o := r.pins.of[d]
		switch {
		case len(by) == 0 || o == nil || !slices.Contains(o.rings, ""):
		case len(by) == 1:
			w.bytes[by[0]] += o.size
		default:
			w.shared += o.size
		}
	}
	return w
}

// needs are the kept generations that need each file which is pinned for the past; none
// need what is to be released.
type needs map[digest.Digest][]held

// forget takes out a generation.
func (n needs) forget(h held) {
	for d, by := range n {
		n[d] = slices.DeleteFunc(by, func(o held) bool { return o == h })
	}
}

func (r *Rings) needsOf(kept map[held]files) needs {
	all := make(needs)
	for h, f := range kept {
		for _, d := range f.release {
			all[d] = append(all[d], h)
		}
	}
	for _, d := range r.pins.all("") {
		by := all[d]
		err := r.catalog.ListedBy(d, func(suite catalog.Location, id digest.Digest) bool {
			h := held{suite, id}
			if _, ok := kept[h]; ok && !slices.Contains(by, h) {
				by = append(by, h)
			}
			return true
		})
		if err != nil {
			r.log.Warn("catalog not readable", "digest", d, "err", err)
			by = append(by, held{}) // stays
		}
		all[d] = by
	}
	return all
}

// all are the blobs that are pinned for a ring.
func (p *pins) all(ring string) (all []digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, o := range p.of {
		if slices.Contains(o.rings, ring) {
			all = append(all, d)
		}
	}
	return all
}

// releasePast releases what no generation needs any more.
func (r *Rings) releasePast(needs needs) {
	for d, by := range needs {
		if len(by) > 0 {
			continue
		}
		r.pins.mu.Lock()
		if o := r.pins.of[d]; o != nil && slices.Contains(o.rings, "") {
			r.unpin(d, "")
		}
		r.pins.mu.Unlock()
	}
}

// names are the rings that have pins.
func (p *pins) names() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.of {
		for _, ring := range o.rings {
			if ring != "" && !slices.Contains(all, ring) {
				all = append(all, ring)
			}
		}
	}
	return all
}

// stepsOf are the generations that a ring has or had lately, or only those that it has;
// none of a ring that is no more. sure is whether the catalog knows what the ring has: it
// may have lost it.
func (r *Rings) stepsOf(name string, present bool) (all map[held]bool, sure bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = make(map[held]bool)
	of := r.rings[name]
	if of == nil {
		return all, true
	}
	sure = true
	for suite, l := range of.lanes {
		if _, ok := r.catalog.Generation(suite, l.present().Generation); !ok {
			sure = false
		}
		for i, s := range l.Steps {
			if !present || i == len(l.Steps)-1 {
				all[held{suite, s.Generation}] = true
			}
		}
	}
	return all, sure
}

// releaseOf releases the pins of a ring that none of its generations lists, or none that
// it has at present.
func (r *Rings) releaseOf(ring string, present bool) {
	by, sure := r.stepsOf(ring, present)
	if !sure {
		return
	}
	for _, d := range r.pins.all(ring) {
		listed := false
		err := r.catalog.ListedBy(d, func(suite catalog.Location, id digest.Digest) bool {
			listed = by[held{suite, id}]
			return !listed
		})
		if err == nil && !listed {
			r.pins.mu.Lock()
			r.unpin(d, ring)
			r.pins.mu.Unlock()
		}
	}
}

// relieveRings releases what only former generations of a ring need where its share is
// used up.
func (r *Rings) relieveRings() {
	for _, ring := range r.pins.names() {
		share := r.share(ring)
		over := func() bool { return r.pins.pinned(ring) > share/8*7 }
		if over() {
			r.releaseOf(ring, true)
		}
		r.faults.set(ring, over())
	}
}
