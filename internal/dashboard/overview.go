package dashboard

import (
	"context"
	"sync"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// overviewFor is how old an overview may be: it reads the accounts of all clients,
// 20,000 at most, and 60 rows of minutes.
const overviewFor = 2 * time.Second

// overview is the last one that was made.
type overview struct {
	started time.Time // of the box

	mu   sync.Mutex
	made time.Time    // guarded by mu
	last api.Overview // guarded by mu
}

func (d *Dashboard) getOverview(context.Context, *none) (api.Overview, error) { return d.glance() }

// glance returns the last overview, or a new one if that is old.
func (d *Dashboard) glance() (api.Overview, error) {
	o := &d.overview
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if !o.made.IsZero() && now.Sub(o.made) < overviewFor {
		return o.last, nil
	}
	v := api.Overview{Phase: d.phase()}
	for a, err := range d.ledger.Clients("") {
		if err != nil {
			return v, err
		}
		if a.Name == ledger.Others {
			continue
		}
		v.Clients.Ever++
		if now.Sub(a.Last) < 24*time.Hour {
			v.Clients.Day++
		}
	}
	hour, err := d.failures(now)
	if err != nil {
		return v, err
	}
	v.LastHour, v.Disk = hour, d.disk()
	o.last, o.made = v, now
	return v, nil
}

// phase is how far a box is with paying for itself.
func (d *Dashboard) phase() string {
	switch c, _ := d.ledger.Totals(); {
	case c.Delivered() == 0 && c.MirrorTaken == 0:
		return "empty"
	case c.Saved() <= 0:
		return "filling"
	}
	return "saving"
}

// failures are those of the last hour. The ledger counts requests for what exists or a
// mirror answered about; those refused or failed before come on top.
func (d *Dashboard) failures(now time.Time) (api.Failures, error) {
	f := d.events.hour.sum(now)
	f.Since = now.Add(-minutes * time.Minute).UTC()
	if d.overview.started.After(f.Since) {
		f.Since = d.overview.started.UTC()
	}
	points, err := d.ledger.Series(ledger.Minute, f.Since.Truncate(time.Minute), now.Add(time.Minute))
	for _, p := range points {
		f.Requests += p.Requests
	}
	f.Requests += f.Failed + f.Refused
	return f, err
}

// disk is the room for the cache.
func (d *Dashboard) disk() api.Disk {
	u := d.store.Usage()
	v := api.Disk{Used: u.Bytes + u.Partial + u.Beside, Limit: u.QuotaBytes, Effective: u.QuotaBytes, Free: -1, Total: -1}
	if l, err := d.store.Limit(); err == nil {
		v.Free, v.Total, v.Effective = l.Free, l.Disk, l.Bytes
	}
	return v
}
