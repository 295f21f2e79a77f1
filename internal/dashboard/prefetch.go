package dashboard

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"millpond/internal/mirror"
	"millpond/internal/prefetch"
)

// Prefetcher fetches update waves ahead; *prefetch.Prefetcher.
type Prefetcher interface {
	Start(suite string) (prefetch.State, error)
	State() prefetch.State
}

// PrefetchRequest is the body of POST /api/v1/prefetch.
type PrefetchRequest struct {
	Suite string `json:"suite,omitempty"` // URL of its directory, as in suites; "" for all
}

// Prefetch is what the running prefetch has done so far, or what the last one
// did. It has zero values before the first.
type Prefetch struct {
	Running     bool      `json:"running"`
	Suite       string    `json:"suite"` // "" for all
	Started     time.Time `json:"started"`
	Ended       time.Time `json:"ended,omitzero"`
	Files       int64     `json:"files"` // indices and packages wanted, as far as is known
	Bytes       int64     `json:"bytes"`
	FilesDone   int64     `json:"files_done"`
	BytesDone   int64     `json:"bytes_done"`
	FilesFailed int64     `json:"files_failed"`
	NoRoom      int64     `json:"no_room"` // files left out so that nothing is evicted
	Error       string    `json:"error"`   // what kept it from doing all
}

// prefetchState tells of the prefetch.
func (d *Dashboard) prefetchState(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, prefetchOf(d.Prefetch.State()))
}

func prefetchOf(s prefetch.State) Prefetch {
	return Prefetch{
		Running: s.Running, Suite: s.Suite, Started: s.Started.UTC(), Ended: s.Ended.UTC(),
		Files: s.Files, Bytes: s.Bytes, FilesDone: s.FilesDone, BytesDone: s.BytesDone,
		FilesFailed: s.FilesFailed, NoRoom: s.NoRoom, Error: s.Error,
	}
}

// prefetch begins to fetch the update wave of a suite, or of all. It waits for
// nothing.
func (d *Dashboard) prefetch(w http.ResponseWriter, r *http.Request) {
	var body PrefetchRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 8<<10)).Decode(&body); err != nil {
		http.Error(w, `The body is {"suite": "URL of its directory"}, or {} for all suites.`, http.StatusBadRequest)
		return
	}
	s, err := d.Prefetch.Start(body.Suite)
	switch {
	case err == nil:
		d.json(w, http.StatusOK, prefetchOf(s))
	case errors.Is(err, prefetch.ErrUnknownSuite):
		http.Error(w, "There is nothing to follow: "+err.Error(), http.StatusNotFound)
	case errors.Is(err, prefetch.ErrRunning):
		http.Error(w, "A prefetch is running; another one can begin when it has ended.", http.StatusConflict)
	case errors.Is(err, mirror.ErrOffline):
		http.Error(w, "Nothing is fetched ahead while the box is offline by setting (MILLPOND_OFFLINE).", http.StatusConflict)
	default:
		d.fail(w, err)
	}
}
