package pieces

import (
	"cmp"
	"slices"
	"time"
)

// quietEvery is how often a download looks whether all its sources are silent.
const quietEvery = 50 * time.Millisecond

// silentFor returns for how long all of the sources have been silent: each has open
// requests, and has sent nothing for any of them. It is 0 if one is not, or is idle: that
// one takes over what the others do not send.
func (p *picker) silentFor(all []*source) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := time.Duration(0)
	for _, s := range all {
		since := p.silentSince(s)
		if since == 0 {
			return 0
		}
		if silent := time.Duration(p.now() - since); least == 0 || silent < least {
			least = silent
		}
	}
	return least
}

// silentSince returns when s last sent something for an open request, or, if it never
// has, when it was sent the first of them; 0 if it has none. p.mu is held.
func (p *picker) silentSince(s *source) int64 {
	first, last := int64(0), int64(0)
	for _, r := range slices.Concat(p.requests...) {
		heard := r.heard.Load()
		switch {
		case r.source != s || heard == 0:
		case r.got.Load() > 0:
			last = max(last, heard)
		case first == 0 || heard < first:
			first = heard
		}
	}
	return cmp.Or(last, first)
}

// watchSilence ends the download when all sources have been silent for longer than
// Options.Patience.
func (d *download) watchSilence() {
	t := time.NewTicker(quietEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-d.ctx.Done():
			return
		}
		active := d.activeNow()
		silent := d.picker.silentFor(active)
		if silent == 0 || silent < d.options.Patience() {
			continue
		}
		d.mu.Lock()
		d.result.Lost = time.Duration(d.picker.now() - d.picker.heard.Load())
		for _, s := range active {
			d.result.Silent = append(d.result.Silent, s.Source)
		}
		d.mu.Unlock()
		d.stop()
		return
	}
}
