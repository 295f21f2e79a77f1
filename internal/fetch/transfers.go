package fetch

import (
	"slices"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// Transfer is a download in progress.
type Transfer struct {
	Digest   digest.Digest // zero of a file without one
	Location catalog.Location
	Size     int64 // in bytes; -1 if not known yet
	Started  time.Time
	Clients  int // that wait for it now
	Parts    []Part
}

// Part is bytes that are there, and where they came from.
type Part struct {
	Off, End int64
	Origin   ledger.Origin
}

// Transfers lists the downloads in progress, the oldest first.
func (f *Fetcher) Transfers() []Transfer {
	f.mu.Lock()
	flights := make([]*flight, 0, len(f.flights))
	for _, fl := range f.flights {
		flights = append(flights, fl)
	}
	f.mu.Unlock()
	all := make([]Transfer, len(flights))
	for i, fl := range flights {
		all[i] = fl.transfer()
	}
	slices.SortFunc(all, func(a, b Transfer) int { return a.Started.Compare(b.Started) })
	return all
}

func (fl *flight) transfer() Transfer {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	t := Transfer{Digest: fl.key.digest, Location: fl.entry.Location, Size: fl.size, Started: fl.started, Clients: fl.readers}
	for _, s := range fl.attribution.spans {
		t.Parts = append(t.Parts, Part{s.off, s.end, s.origin})
	}
	return t
}
