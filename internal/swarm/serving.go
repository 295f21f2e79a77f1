package swarm

import (
	"context"
	"iter"

	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
)

// Serving is what a box does for its peers while it runs.
type Serving struct {
	Inventory peer.Inventory
	// Busy reports whether clients are being served at full speed: uploads then
	// wait. nil: never.
	Busy func() bool
}

// offer tells the neighbours and the DHT of what events say. The journal alone
// knows what a listing changed, and the announcer is told of that. Neither
// holds the other up: the journal never blocks, and the announcer works off the
// changes in a goroutine of its own.
func offer(ctx context.Context, events iter.Seq[peer.Event], j *inventory.Journal, a *announcer) {
	for e := range events {
		if changed := j.Take(e); changed || e.Synced {
			a.take(ctx, e, changed)
		}
	}
}
