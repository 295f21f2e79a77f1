package fetch

import (
	"time"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
)

// Anticipate begins to fetch e for a client that has asked for it behind other
// files on the same connection, so that it is there, or on its way, when its
// turn comes. It waits for nothing and reports nothing: whatever fails, the
// request itself meets. A client that never comes to it costs what arrives
// until the download is abandoned.
func (f *Fetcher) Anticipate(e catalog.Entry) {
	switch e.Kind {
	case catalog.ReleaseFile:
		s, err := recall[suite](f, suiteKey(e.Suite))
		if v := s.form(e.Location.Name()); err == nil && (!f.holds(*v) || time.Since(v.Checked) >= f.TTL) {
			f.check(e)
		}
	case catalog.Content:
		if f.holds(version{Digest: e.Digest}) {
			return
		}
		fl, err := f.join(flightKey{digest: e.Digest}, func() *flight { return f.newContentFlight(e) })
		if err == nil {
			fl.leave()
		}
	}
}

// maxUnread bounds how many files are remembered that came before anybody read
// them. A client's pipeline has ten, a large update wave some thousands.
const maxUnread = 16 << 10

// land takes a flight that ended out of those under way. Of content that no
// client reads, or is about to, it remembers where it came from.
func (f *Fetcher) land(fl *flight, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flights, fl.key)
	if err != nil || fl.key.digest.IsZero() {
		return
	}
	if from, ok := fl.claim(); ok {
		if len(f.unread) >= maxUnread {
			clear(f.unread) // these count as the store's
		}
		f.unread[fl.key.digest] = from
	}
}

// claim credits a held file that was fetched ahead to where it came from, for
// the first client that gets it. As the store's it would flatter. The flight
// that brought it may be about to land.
func (f *Fetcher) claim(file *File) {
	body, held := file.Body.(StoredBody)
	if !held {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	from, ok := f.unread[file.Digest]
	delete(f.unread, file.Digest)
	if fl := f.flights[flightKey{digest: file.Digest}]; fl != nil && !ok {
		from, ok = fl.claim()
	}
	if ok {
		body.origin = from
		file.Body = body
	}
}

// claim returns where a file that is there came from and credits somebody with
// it, unless a client reads it from the flight, or is about to.
func (fl *flight) claim() (from ledger.Origin, ok bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	clients := fl.readers
	for b := range fl.bodies {
		if b.aside {
			clients--
		}
	}
	if fl.detour != nil || clients > 0 || fl.credited > 0 || len(fl.spans) == 0 {
		return 0, false
	}
	fl.credited = fl.spans[len(fl.spans)-1].end
	return fl.spans[0].origin, true
}
