package proxy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
)

// behind has an older Release than the mirror: until it is revalidated, and after
// that if pending.
type behind struct {
	fakeFetcher
	pending bool
	asked   []bool // Revalidate, request by request
}

func (f *behind) Get(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	f.asked = append(f.asked, r.Revalidate)
	file, err := f.fakeFetcher.Get(ctx, r)
	if err == nil {
		file.Suite, file.Release = r.Suite, file.Digest
		if file.Pending = f.pending && r.Revalidate; r.Revalidate && !f.pending {
			file.Modified = modified.Add(time.Hour)
		}
	}
	return file, err
}

// A client that has a newer Release than the box has the mirror asked; if the box
// does not take that yet, names of that client's indices are for the mirror.
func TestClientWithANewerRelease(t *testing.T) {
	t.Parallel()
	data := pattern(100)
	own := digest.Of(data)
	for _, tt := range []struct {
		since   time.Duration // after what the box has
		pending bool
		asked   int
		given   digest.Digest
	}{
		{-time.Hour, true, 1, own}, {0, true, 1, own}, {time.Hour, false, 2, own}, {time.Hour, true, 2, catalog.OtherGeneration},
	} {
		var f *behind
		b := newBox(func(o *Options) {
			f = &behind{fakeFetcher: o.Fetcher.(fakeFetcher), pending: tt.pending}
			o.Fetcher = f
		}).serve(t)
		suite := mustLocation(t, headURL).Dir()
		b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: suite}
		b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Digest: own, Size: 100, Suite: suite}
		b.files[headURL], b.files[debURL] = gives(data, ledger.FromStore), gives(data, ledger.FromStore)
		b.do(t, http.MethodGet, headURL, "If-Modified-Since: "+modified.Add(tt.since).Format(http.TimeFormat))
		if len(f.asked) != tt.asked || f.asked[len(f.asked)-1] != (tt.asked == 2) {
			t.Errorf("%+v: asked with %v", tt, f.asked)
		}
		b.do(t, http.MethodGet, debURL)
		if got := b.catalog.given[1]; got != tt.given {
			t.Errorf("%+v: resolved in %v", tt, got)
		}
	}
}
