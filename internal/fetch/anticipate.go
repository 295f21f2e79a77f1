package fetch

import (
	"time"

	"millpond/internal/catalog"
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
