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
}

func (d *Dashboard) getPrefetch(context.Context, *none) (api.Prefetch, error) {
	return prefetchOf(d.prefetch.State()), nil
}

func prefetchOf(s prefetch.State) api.Prefetch {
	return api.Prefetch{
		Running: s.Running, Suite: s.Suite, Started: s.Started.UTC(), Ended: s.Ended.UTC(),
		Files: s.Files, Bytes: s.Bytes, FilesDone: s.FilesDone, BytesDone: s.BytesDone,
		FilesFailed: s.FilesFailed, NoRoom: s.NoRoom, Error: s.Error,
	}
}

// prefetchRequest names a suite, or none for all.
type prefetchRequest struct{ Body api.PrefetchRequest }

// startPrefetch starts to fetch the update wave of a suite, or of all, and
// returns at once.
func (d *Dashboard) startPrefetch(_ context.Context, in *prefetchRequest) (api.Prefetch, error) {
	s, err := d.prefetch.Start(in.Body.Suite)
	switch {
	case errors.Is(err, prefetch.ErrUnknownSuite):
		err = problem(http.StatusNotFound, "There is nothing to follow: "+err.Error())
	case errors.Is(err, prefetch.ErrRunning):
		err = problem(http.StatusConflict, "A prefetch is running; another one can begin when it has ended.")
	case errors.Is(err, mirror.ErrOffline):
		err = problem(http.StatusConflict, "Nothing is fetched ahead while the box is offline by setting (MILLPOND_OFFLINE).")
	}
	return prefetchOf(s), err
}
