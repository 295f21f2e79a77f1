package reputation

import (
	"net/netip"
	"time"
)

// suspensionTimes are the durations of the first, second, … suspension. The first is as
// long as the first ban: the next one comes after two more requests in vain. The last
// leaves a site two of these in half an hour, which is little, and an honest box is not
// left out for longer, as after a night on a bad cable.
var suspensionTimes = [...]time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute}

const (
	// stallsToSuspend: a single one may be an accident, such as a lost packet or a disk
	// that had to spin up.
	stallsToSuspend = 2
	stallsForgotten = 24 * time.Hour // as a strike is
	maxStalls       = 4096           // subjects remembered: about 1 MB
)

// subject is whose stalls are counted together: a peer's, or those of all new peers of a
// party.
type subject struct {
	id    string
	party netip.Prefix
}

// stalls are those of a subject that have not been made up for.
type stalls struct {
	n           int       // since the last good transfer or suspension
	suspensions int       // that count for the length of the next one
	until       time.Time // when the last suspension ends, or ended
	last        time.Time // stall or suspension
	by          string    // who was the last to stall, or to lie
}

// suspensions has the stalls of all subjects. Table.mu guards it.
type suspensions map[subject]*stalls

// of returns the stalls of w; nil if there are none that count.
func (m suspensions) of(w subject, now time.Time) *stalls {
	row := m[w]
	if row != nil && now.After(row.until) && now.Sub(row.last) > stallsForgotten {
		delete(m, w)
		return nil
	}
	return row
}

// until returns when the suspension of w ends; the zero time if none is in force.
func (m suspensions) until(w subject, now time.Time) time.Time {
	if row := m.of(w, now); row != nil && now.Before(row.until) {
		return row.until
	}
	return time.Time{}
}

// stalled counts a stall of the peer id for w, and reports whether w is suspended for
// it. Those during a suspension are of requests that began before it.
func (m suspensions) stalled(w subject, id string, now time.Time) bool {
	row := m.get(w, now)
	if now.Before(row.until) {
		return false
	}
	row.n++
	row.last, row.by = now, id
	if row.n < stallsToSuspend {
		return false
	}
	m.suspend(w, id, now, now)
	return true
}

// suspend suspends w, until least or longer, because of id. It does nothing if w is
// suspended until then anyway.
func (m suspensions) suspend(w subject, id string, least, now time.Time) {
	row := m.get(w, now)
	if now.Before(row.until) && !least.After(row.until) {
		return
	}
	for _, end := range []time.Time{now.Add(suspensionTimes[row.suspensions]), least} {
		if end.After(row.until) {
			row.until = end
		}
	}
	row.suspensions = min(row.suspensions+1, len(suspensionTimes)-1)
	row.n, row.last, row.by = 0, now, id
}

// served makes up for a stall of w, and, if the transfer was large, for a suspension.
func (m suspensions) served(w subject, large bool, now time.Time) {
	row := m.of(w, now)
	if row == nil {
		return
	}
	row.n = 0
	if large {
		row.suspensions = max(row.suspensions-1, 0)
	}
	if row.suspensions == 0 && !now.Before(row.until) {
		delete(m, w)
	}
}

// forget drops what id is to blame for.
func (m suspensions) forget(id string) {
	for w, row := range m {
		if w.id == id || row.by == id {
			delete(m, w)
		}
	}
}

// get makes room by dropping the row whose suspension ends, or ended, first.
func (m suspensions) get(w subject, now time.Time) *stalls {
	if row := m.of(w, now); row != nil {
		return row
	}
	if len(m) >= maxStalls {
		var first subject
		for other, row := range m {
			if first == (subject{}) || row.until.Before(m[first].until) {
				first = other
			}
		}
		delete(m, first)
	}
	row := &stalls{}
	m[w] = row
	return row
}
