package pieces

import (
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
	least, now := time.Duration(0), p.now()
	waiting := make(map[*source]bool)
	for _, r := range slices.Concat(p.requests...) {
		if heard := r.heard.Load(); heard > 0 && !r.source.dropped.Load() {
			if silent := time.Duration(now - heard); len(waiting) == 0 || silent < least {
				least = silent
			}
			waiting[r.source] = true
		}
	}
	if len(waiting) < len(all) {
		return 0
	}
	return least
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
		lost := d.picker.silentFor(active)
		if lost == 0 || lost < d.options.Patience() {
			continue
		}
		d.mu.Lock()
		d.result.Lost = lost
		for _, s := range active {
			d.result.Silent = append(d.result.Silent, s.Source)
		}
		d.mu.Unlock()
		d.stop()
		return
	}
}
