package swarm

import (
	"context"
	"iter"

	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
)

// Serving holds what a running box uploads from.
type Serving struct {
	Inventory peer.Inventory
	Releases  peer.Releases // nil: none
	Reporter  peer.Reporter // nil: none
	// Busy reports whether clients are being served at full speed: uploads then
	// wait. nil: never.
	Busy func() bool
}

// offer passes events to the journal, for the neighbours, and to the announcer,
// for the DHT. Only the journal can detect what a listing changed, so the
// announcer gets those changes. Neither delays the other: the journal never
// blocks, and the announcer handles the changes in its own goroutine.
func offer(ctx context.Context, events iter.Seq[peer.Event], j *inventory.Journal, a *announcer) {
	for e := range events {
		if changed := j.Take(e); changed || e.Synced {
			a.take(ctx, e, changed)
		}
	}
}
