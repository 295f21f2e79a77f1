package fetch

import (
	"errors"
	"sync"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// maxAsked bounds what asked remembers: files that the box asked for by itself, and
// that no client comes for. One that is forgotten has a request counted as avoided
// that was not.
const maxAsked = 1024

// asked remembers the Release and unknown files that a mirror was asked for since a
// client's request for them ended. The next such request is the one that the
// mirror got, whoever sent it: the client, another that has left, or the box ahead
// of need. Those after it are avoided.
type asked struct {
	mu sync.Mutex
	of map[askedFile]struct{} // at most maxAsked; guarded by mu
}

type askedFile struct {
	at    catalog.Location
	login mirror.Login
}

// note is told of each question to a mirror about a file, repeated ones too.
func (a *asked) note(l catalog.Location, login mirror.Login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[askedFile]struct{})
	}
	a.of[askedFile{l, login}] = struct{}{}
	for k := range a.of {
		if len(a.of) <= maxAsked {
			return
		}
		if k != (askedFile{l, login}) {
			delete(a.of, k)
		}
	}
}

// take reports whether the file was asked for, and forgets it.
func (a *asked) take(l catalog.Location, login mirror.Login) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := askedFile{l, login}
	_, ok := a.of[k]
	delete(a.of, k)
	return ok
}

// answered tells Options.Avoided of a request of a client for a Release or unknown
// file that ended with err, if it was answered without a request to the mirror.
func (f *Fetcher) answered(r Request, err error) {
	var status *mirror.StatusError
	if !f.asked.take(r.Location, r.Login) && (err == nil || errors.As(err, &status)) {
		f.avoided(r.Location)
	}
}
