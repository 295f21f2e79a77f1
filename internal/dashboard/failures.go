package dashboard

import (
	"fmt"
	"sync"
	"time"

	"millpond/internal/api"
)

// minutes of failures that are counted.
const minutes = 60

// lastHour counts what failed for clients, by the minute. Lines of the log say which
// kind they are in the attribute failure.
type lastHour struct {
	mu      sync.Mutex
	minutes [minutes]minute // guarded by mu
}

type minute struct {
	at                               int64 // since 1970
	failed, refused, missing, unkept int64
}

// count counts a failure of some kind; others than these are none.
func (h *lastHour) count(at time.Time, kind string) {
	if kind == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := at.Unix() / 60
	m := &h.minutes[now%minutes]
	if m.at != now {
		*m = minute{at: now}
	}
	switch kind {
	case "failed":
		m.failed++
	case "refused":
		m.refused++
	case "missing":
		m.missing++
	case "unkept":
		m.unkept++
	}
}

// sum adds up the hour before now.
func (h *lastHour) sum(now time.Time) (f api.Failures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.minutes {
		if age := now.Unix()/60 - m.at; age >= 0 && age < minutes {
			f.Failed += m.failed
			f.Refused += m.refused
			f.Missing += m.missing
			f.Unkept += m.unkept
		}
	}
	return f
}

// Failures make the box degraded from so many in an hour on that are such a share of the
// requests: less may be one client that goes on asking, and a single one is not worth
// anybody's evening. What the mirror has not is no fault of the box.
const (
	fewFailures  = 20
	failedShare  = 20 // one in so many
	refusedShare = 5
	unkeptShare  = 20
)

// hourFaults says what of the last hour's failures makes the box degraded.
func hourFaults(f api.Failures) (all []api.Fault) {
	add := func(what string, n, one int64, why string) {
		if n >= fewFailures && n*one >= f.Requests {
			all = append(all, api.Fault{What: what, Why: fmt.Sprintf(why, n, f.Requests)})
		}
	}
	add("requests", f.Failed, failedShare, "%d of %d requests failed within the last hour; the events say which, and why")
	add("refusals", f.Refused, refusedShare, "%d of %d requests were refused within the last hour; the events say whose, and which setting would allow them")
	add("files", f.Unkept, unkeptShare, "%d files could not be kept, for %d requests, within the last hour: each client that asks for one costs the mirror a copy")
	return all
}
