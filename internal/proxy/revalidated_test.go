package proxy

import (
	"net/http"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// revalidated tells for which suites a client has the present Release.
type revalidated struct {
	fakeFetcher
	suites chan catalog.Location
}

func (r revalidated) Revalidated(suite catalog.Location) { r.suites <- suite }

// A client that is told that its Release is the present one has the suite's
// lists. One that gets a Release, or asks for something else, says nothing of
// them.
func TestRevalidated(t *testing.T) {
	t.Parallel()
	var told revalidated
	b := newBox(func(o *Options) {
		told = revalidated{o.Fetcher.(fakeFetcher), make(chan catalog.Location, 10)}
		o.Fetcher = told
	})
	b.serve(t)
	data := pattern(100)
	const release = "http://deb.example.org/debian/dists/stable/InRelease"
	l := mustLocation(t, release)
	b.catalog.entries[release] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: l.Dir()}
	condition := `If-None-Match: "` + digest.Of(data).String() + `"`
	b.files[release], b.files[debURL] = gives(data, ledger.FromStore), gives(data, ledger.FromStore)
	for _, tt := range []struct {
		url, header string
		status      int
	}{
		{debURL, condition, 304}, {release, "X: y", 200}, {release, `If-None-Match: "other"`, 200}, {release, condition, 304},
	} {
		if resp, _ := b.do(t, http.MethodGet, tt.url, tt.header); resp.StatusCode != tt.status {
			t.Errorf("%s, %s: %d, want %d", tt.url, tt.header, resp.StatusCode, tt.status)
		}
	}
	select {
	case got := <-told.suites:
		if got != l.Dir() || len(told.suites) != 0 {
			t.Errorf("told %v and %d more, want %v alone", got, len(told.suites), l.Dir())
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is told")
	}
}
