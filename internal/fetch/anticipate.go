package fetch

import (
	"millpond/internal/catalog"
	"millpond/internal/fetch/access"
)

// Anticipate begins to fetch r for a client that has requested it behind other
// files on the same connection, so that it is there, or on its way, when its
// turn comes. It waits for nothing and reports nothing: whatever fails, the
// request itself meets. If the client never comes to it, what arrives until
// the download is abandoned is wasted.
func (f *Fetcher) Anticipate(r Request) {
	r.Login = f.access.Login(r.Location, r.Login)
	switch r.Kind {
	case catalog.ReleaseFile:
		if !r.Generation.IsZero() {
			return // it is held, or nowhere
		}
		f.releases.Anticipate(releaseRequest(r))
	case catalog.Content:
		if info, err := f.store.Stat(r.Digest); err == nil && access.Found(info, r.Location, r.Login) {
			f.access.Anticipate(r.Location, r.Login, info)
			return
		}
		if fl, _, err := f.joinForClient(r); err == nil {
			fl.leave()
		}
	}
}
