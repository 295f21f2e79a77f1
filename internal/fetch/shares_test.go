package fetch

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/front"
)

// A client that begins more downloads than there are at once keeps nobody else from
// one, and gets all of its own in the end.
func TestDownloadsOfOneClient(t *testing.T) {
	t.Parallel()
	const atOnce, begun = 3, 10
	r := newRig(t, aptest.Suite{}, func(o *Options) { o.Downloads = atOnce })
	r.update()
	hold := r.mirror.Inject("*/never/*", aptest.Hold())
	get := func(client byte, path string) error {
		e := r.catalog.Resolve(t.Context(), r.at(path), func(catalog.Location) digest.Digest { return digest.Digest{} })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		f, err := r.Get(ctx, Request{Entry: e, Party: front.PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, client}))})
		if err != nil {
			return err
		}
		return f.Body.Close()
	}
	ended := make(chan error, begun)
	for i := range begun {
		path := fmt.Sprintf("pool/never/x%d_1_all.deb", i)
		r.mirror.Put("/debian/"+path, []byte(path), time.Now().Add(-time.Hour))
		go func() { ended <- get(1, path) }()
	}
	must(t, hold.Await(t.Context(), atOnce))
	must(t, get(2, r.packageAt("small")))
	if n := hold.Hits(); n > begun {
		t.Errorf("%d requests at the mirror", n)
	}
	hold.Release()
	for range begun {
		must(t, <-ended)
	}
}
