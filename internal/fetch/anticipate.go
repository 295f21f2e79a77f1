package fetch

import (
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// Anticipate begins to fetch e for a client that has asked for it behind other
// files on the same connection, so that it is there, or on its way, when its
// turn comes. It waits for nothing and reports nothing: whatever fails, the
// request itself meets. A client that never comes to it costs what arrives
// until the download is abandoned.
func (f *Fetcher) Anticipate(e catalog.Entry) {
	switch e.Kind {
	case catalog.Head:
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

// landedUnread remembers where a file came from that no client has read yet.
func (f *Fetcher) landedUnread(d digest.Digest, from ledger.Origin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.unread) >= maxUnread {
		clear(f.unread) // these count as the store's
	}
	f.unread[d] = from
}

// claim credits a held file that was fetched ahead to where it came from, for
// the first client that gets it. As the store's it would flatter.
func (f *Fetcher) claim(file *File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, ok := f.unread[file.Digest]
	if body, held := file.Body.(StoredBody); ok && held {
		delete(f.unread, file.Digest)
		body.origin = from
		file.Body = body
	}
}
