package fetch

import (
	"bytes"
	"iter"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// listing takes the events of the next full listing.
func listing(t testing.TB, next func() (peer.Event, bool)) map[digest.Digest]bool {
	t.Helper()
	var all map[digest.Digest]bool
	for {
		e, ok := next()
		switch {
		case !ok:
			t.Fatal("the inventory ended")
		case e.Reset:
			all = make(map[digest.Digest]bool)
		case all == nil: // a change before the listing
		case e.Synced:
			return all
		case e.Held:
			all[e.Digest] = true
		}
	}
}

// What is shared is listed, and listed again when the catalog has changed.
func TestWatchListsWhatIsShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	r.timeouts = patientTimeouts
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	later := r.archive.Add(aptest.Package{Name: "later", Version: "1", Size: small}).Data // listed once it is published
	must(t, r.store.Put(digest.Of(later), int64(len(later)), bytes.NewReader(later), store.Meta{}))
	next, stop := iter.Pull(r.Watch(t.Context(), peer.Stranger))
	defer stop()
	known := digest.Of(r.files["small"].Data)
	if all := listing(t, next); !all[known] || all[digest.Of(later)] {
		t.Errorf("it lists a shared blob: %v; one that no index lists: %v", all[known], all[digest.Of(later)])
	}
	r.publish()
	r.update()
	// There may be a listing between the Release and its index.
	for all := listing(t, next); !all[digest.Of(later)]; all = listing(t, next) {
		if !all[known] {
			t.Error("a listing lacks a blob that is still shared")
		}
	}
}
