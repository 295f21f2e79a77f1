package dashboard

import (
	"context"
	"errors"
	"net/http"

	"millpond/internal/api"
	"millpond/internal/mirror"
	"millpond/internal/prefetch"
)

// Prefetcher fetches update waves ahead; *prefetch.Prefetcher.
type Prefetcher interface {
	Start(suite string) (prefetch.State, error)
	State() prefetch.State
	Figures() prefetch.Figures
}

func (d *Dashboard) getPrefetch(context.Context, *none) (api.Prefetch, error) {
	return d.prefetchOf(d.prefetch.State()), nil
}

func (d *Dashboard) prefetchOf(s prefetch.State) api.Prefetch {
	f := d.prefetch.Figures()
	p := api.Prefetch{
		Running: s.Running, Automatic: s.Automatic, Suite: s.Suite, Started: timeIf(s.Started), Ended: s.Ended.UTC(),
		Files: s.Files, Bytes: s.Bytes, FilesDone: s.FilesDone, BytesDone: s.BytesDone,
		FilesFailed: s.FilesFailed, NoRoom: s.NoRoom, NoBudget: s.NoBudget, Error: s.Error,
		Budget: api.PrefetchBudget{Bytes: f.Limit, Spent: f.Spent, Saved: f.Saved, Ends: f.DayEnds.UTC()},
		Since:  f.Since.UTC(), Total: costOf(f.Total), Waves: []api.PrefetchWave{},
	}
	for _, w := range f.Waves {
		p.Waves = append(p.Waves, api.PrefetchWave{
			ID: w.ID, Automatic: !w.Manual, Suites: append([]string{}, w.Suites...), Started: w.Started, Ended: w.Ended,
			Files: w.Wanted, Bytes: w.WantedBytes, FilesFailed: w.Failed, NoRoom: w.NoRoom, NoBudget: w.NoBudget,
			Cost: costOf(w.Cost), Error: w.Error,
		})
	}
	return p
}

func costOf(c prefetch.Cost) api.PrefetchCost {
	return api.PrefetchCost{
		Files: c.Files, FromPeers: c.FromPeers, FromMirrors: c.FromMirrors,
		UsedFiles: c.UsedFiles, UsedBytes: c.UsedBytes, WastedFiles: c.WastedFiles, WastedBytes: c.WastedBytes,
	}
}

// prefetchRequest names a suite, or none for all.
type prefetchRequest struct{ Body *api.PrefetchRequest }

// startPrefetch starts to fetch the update wave of a suite, or of all, and
// returns at once.
func (d *Dashboard) startPrefetch(_ context.Context, in *prefetchRequest) (api.Prefetch, error) {
	suite := ""
	if in.Body != nil {
		suite = in.Body.Suite
	}
	s, err := d.prefetch.Start(suite)
	switch {
	case errors.Is(err, prefetch.ErrUnknownSuite):
		err = problem(http.StatusNotFound, "There is nothing to follow: "+err.Error())
	case errors.Is(err, prefetch.ErrRunning):
		err = problem(http.StatusConflict, "A prefetch is running; another one can begin when it has ended.")
	case errors.Is(err, mirror.ErrOffline):
		err = problem(http.StatusConflict, "Nothing is fetched ahead while the box is offline by setting (MILLPOND_OFFLINE).")
	}
	return d.prefetchOf(s), err
}
