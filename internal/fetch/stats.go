package fetch

import "sync/atomic"

// counters are the figures behind Stats.
type counters struct {
	flights, joined, resumed, wrong, diverted, stale, learned, learnFaults atomic.Int64
}

// Stats is what the downloads did since the start.
type Stats struct {
	Flights     int64 // downloads started
	Joined      int64 // requests that shared one in progress
	Resumed     int64 // cut downloads that were resumed
	Wrong       int64 // files or streams found to be wrong
	Diverted    int64 // downloads that found no room in the store
	Stale       int64 // Release and unknown files served while the mirror was away
	Learned     int64 // indices read
	LearnFaults int64 // indices that could not be read
	Running     int   // downloads in progress
}

// Stats returns the figures now.
func (f *Fetcher) Stats() Stats {
	f.mu.Lock()
	running := len(f.flights)
	f.mu.Unlock()
	c := &f.stats
	return Stats{
		Flights: c.flights.Load(), Joined: c.joined.Load(), Resumed: c.resumed.Load(),
		Wrong: c.wrong.Load(), Diverted: c.diverted.Load(), Stale: c.stale.Load(),
		Learned: c.learned.Load(), LearnFaults: c.learnFaults.Load(), Running: running,
	}
}
