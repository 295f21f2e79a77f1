package fetch

import "millpond/internal/catalog"

// Anticipate begins to fetch r for a client that has requested it behind other
// files on the same connection, so that it is there, or on its way, when its
// turn comes. It waits for nothing and reports nothing: whatever fails, the
// request itself meets. If the client never comes to it, what arrives until
// the download is abandoned is wasted.
func (f *Fetcher) Anticipate(r Request) {
	e := r.Entry
	switch e.Kind {
	case catalog.ReleaseFile:
		f.releases.Anticipate(e, r.Revalidate)
	case catalog.Content:
		if f.holds(e.Digest) {
			return
		}
		if fl, err := f.joinForClient(e); err == nil {
			fl.leave()
		}
	}
}
