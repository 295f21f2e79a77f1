package fetch

import (
	"context"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// Brought is what was taken for a file that was fetched ahead.
type Brought struct {
	Peers, Mirrors int64 // bytes from them, whatever became of them
	// Asked: a client, or another box, asked for the file before it was held. So it
	// would have been taken in any case.
	Asked bool
}

// isEarly reports whether no client has asked for the flight's file, as far as is known,
// and it was not begun for another box.
func (fl *flight) isEarly() bool { return fl.early && !fl.wanted.Load() }

// replacing opens a part with the room of what the flight's file replaces.
func (fl *flight) replacing(open func(digest.Digest, int64, []digest.Digest) (*store.Partial, error)) func(digest.Digest, int64) (*store.Partial, error) {
	return func(d digest.Digest, size int64) (*store.Partial, error) {
		return open(d, size, fl.replaces)
	}
}

// Ahead is Keep for a file that no client has asked for. It takes free room, and that of
// the blobs in replaces as far as it needs it, the first ones first; ErrNoSpace says that
// this is too little. When ctx ends, so does the download; what is there is kept for the
// next attempt. A client that asks for the file meanwhile shares the download, and has
// it continue.
func (f *Fetcher) Ahead(ctx context.Context, e catalog.Entry, replaces []digest.Digest) (b Brought, err error) {
	r := Request{Entry: e, Login: f.access.Login(e.Location, "")}
	for range 3 { // as in content
		if f.holdsFor(r) {
			if e.Index {
				f.learnStored(e)
			}
			return b, f.learned(ctx, e.Digest)
		}
		fl, began, err := f.join(r, func() *flight {
			fl := f.newContentFlight(r)
			fl.early, fl.replaces = true, replaces
			return fl
		})
		if err != nil {
			return b, err
		}
		err = fl.wait(ctx)
		if b.Asked = b.Asked || !began || fl.wanted.Load(); began {
			mirrored := fl.mirrored.Load()
			b.Mirrors, b.Peers = b.Mirrors+mirrored, b.Peers+fl.received.Load()-mirrored
		}
		if err == nil {
			return b, f.learned(ctx, e.Digest)
		}
		if !again(err) {
			return b, err
		}
	}
	return b, fmt.Errorf("%s: %w", e.Location, errEvicted)
}

// briefly is how long a client's download keeps others waiting that nobody has asked
// for: longer than nearly all packages take, and not for as long as an image does.
const briefly = 5 * time.Minute

// ClientsWait reports whether a client has been waiting for a download, for no longer
// than five minutes.
func (f *Fetcher) ClientsWait() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.flights {
		if !fl.isEarly() && !fl.forPeer() && time.Since(fl.started) < briefly {
			return true
		}
	}
	return false
}
