package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/rings"
)

// fakeRings has the ring prod with one generation, and one for each time after 2026.
type fakeRings struct {
	mu    sync.Mutex
	has   digest.Digest
	bound string // the ring of all clients
	done  []string

	undated bool // no dated archive is known
}

var thePast = digest.Of([]byte("the past"))

func (r *fakeRings) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, fmt.Sprintf(format, args...))
}

func (r *fakeRings) Has(ring string) bool              { return ring == "prod" }
func (r *fakeRings) RingOf(netip.Addr) string          { return r.bound }
func (r *fakeRings) Begin(string, catalog.Location)    {}
func (r *fakeRings) Used(ring string, e catalog.Entry) { r.note("used %q %s", ring, e.Location.Name()) }
func (r *fakeRings) Generation(ring string, _ catalog.Location) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has
}

func (r *fakeRings) At(_ context.Context, _ catalog.Location, t time.Time) (digest.Digest, error) {
	if t.Year() < 2026 {
		return digest.Digest{}, rings.ErrNoMoment
	}
	return thePast, nil
}
func (r *fakeRings) InForceAt(catalog.Location, time.Time) digest.Digest { return thePast }
func (r *fakeRings) Dated(l catalog.Location, _ time.Time) catalog.Location {
	if r.undated {
		return catalog.Location{}
	}
	return l.Moved(l.Dir(), l.Dir().Join("dated"))
}
func (r *fakeRings) DatedIn(string, catalog.Location) catalog.Location { return catalog.Location{} }

// viewFetcher notes what it is asked for.
type viewFetcher struct {
	fakeFetcher
	mu          sync.Mutex
	got         []fetch.Request
	anticipated []fetch.Request
}

func (f *viewFetcher) Get(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	f.mu.Lock()
	f.got = append(f.got, r)
	f.mu.Unlock()
	file, err := f.fakeFetcher.Get(ctx, r)
	if err == nil && r.Kind == catalog.ReleaseFile {
		file.Suite, file.Release = r.Suite, r.Generation
	}
	return file, err
}

func (f *viewFetcher) Anticipate(r fetch.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.anticipated = append(f.anticipated, r)
}

// last is the last request.
func (f *viewFetcher) last() fetch.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[len(f.got)-1]
}

func newViewBox(t *testing.T) (*box, *viewFetcher, *fakeRings) {
	t.Helper()
	r := &fakeRings{has: digest.Of([]byte("prod"))}
	var f *viewFetcher
	b := newBox(func(o *Options) {
		f = &viewFetcher{fakeFetcher: o.Fetcher.(fakeFetcher)}
		o.Fetcher, o.Rings = f, r
	})
	suite := mustLocation(t, headURL).Dir()
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: suite}
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Size: 9, Digest: digest.Of([]byte("a package")), Signed: true}
	b.files[headURL] = gives([]byte("a Release"), ledger.FromStore)
	b.files[debURL] = gives([]byte("a package"), ledger.FromStore)
	return b.serve(t), f, r
}

// A ring's clients get its generation, keep that of their update, and have the mirror
// asked for what comes next; others at their address get what is in force.
func TestRingView(t *testing.T) {
	t.Parallel()
	const head, deb = "/ring/prod/deb.example.org/debian/dists/stable/InRelease", "/ring/prod/deb.example.org" + debPath
	b, f, r := newViewBox(t)
	first := r.has
	if resp, body := b.do(t, "GET", head); resp.StatusCode != http.StatusOK || body != "a Release" {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if got := f.last(); got.Generation != first || len(f.anticipated) != 1 || !f.anticipated[0].Generation.IsZero() {
		t.Errorf("asked for %+v; before that for %+v", got, f.anticipated)
	}
	r.mu.Lock()
	r.has = digest.Of([]byte("promoted"))
	r.mu.Unlock()
	b.do(t, "GET", deb)
	if got := b.catalog.given[len(b.catalog.given)-1]; got != r.has { // of no suite: what the ring has
		t.Errorf("a package is looked up in %s", got.Short())
	}
	if resp, _ := b.do(t, "GET", head); resp.StatusCode != http.StatusOK || f.last().Generation != r.has {
		t.Errorf("after the promotion: %s of %s", resp.Status, f.last().Generation.Short())
	}
	if !slices.Contains(r.done, `used "prod" hello_2.10-3_amd64.deb`) {
		t.Errorf("told %q", r.done)
	}
	b.do(t, "GET", headURL)
	if got := f.last(); !got.Generation.IsZero() || !got.Release.IsZero() {
		t.Errorf("without a ring: %+v", got)
	}
	r.bound = "prod"
	b.do(t, "GET", headURL)
	if got := f.last(); got.Generation != r.has {
		t.Errorf("bound by its address: %+v", got)
	}
	// By a name of the box that only the client knows, it is still in the ring.
	const own = "http://nas/deb.example.org/debian/dists/stable/InRelease"
	b.files[own] = fails(&mirror.UnreachableError{Host: "nas:80", Err: &net.DNSError{Name: "nas", IsNotFound: true}})
	for range 2 { // the name is known then
		b.do(t, "GET", own)
		if got := f.last(); got.Generation != r.has || got.Location.String() != headURL {
			t.Errorf("bound by its address, by the box's own name: %+v", got)
		}
	}
	if resp, body := b.do(t, "GET", strings.Replace(head, "prod", "test", 1)); resp.StatusCode != http.StatusNotFound || !strings.Contains(resp.Status+body, "no ring") {
		t.Errorf("a ring that is not there: %s: %s", resp.Status, body)
	}
}

// A snapshot has the generation of its time, and nothing of which it is not known what it
// was then.
func TestSnapshotView(t *testing.T) {
	t.Parallel()
	b, f, _ := newViewBox(t)
	const below = "/snapshot/20260131T120000Z/deb.example.org/debian/"
	b.do(t, "GET", below+"dists/stable/InRelease")
	if got := f.last(); got.Generation != thePast || len(f.anticipated) != 0 {
		t.Errorf("asked for %+v", got)
	}
	b.do(t, "GET", "/snapshot/20260131T120000Z/deb.example.org"+debPath)
	if got := f.last(); got.Dated.Path != "/debian/pool/main/h/hello/dated/hello_2.10-3_amd64.deb" || b.catalog.given[len(b.catalog.given)-1] != thePast {
		t.Errorf("asked for %+v", got)
	}
	b.do(t, "GET", headURL)
	if got := f.last(); !got.Release.IsZero() || !got.Generation.IsZero() {
		t.Errorf("afterwards, the same client without a snapshot: %+v", got)
	}
	n := len(f.got)
	for path, says := range map[string]string{
		below + "pool/main/u/unknown/unknown_1_amd64.deb":                    "not known",
		"/snapshot/20250131/deb.example.org/debian/dists/stable/InRelease":   "no generation of this suite",
		"/snapshot/2025-01-31/deb.example.org/debian/dists/stable/InRelease": "20260131T235959Z",
	} {
		if resp, body := b.do(t, "GET", path); resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest || !strings.Contains(resp.Status+body, says) {
			t.Errorf("%s: %s: %s", path, resp.Status, body)
		}
	}
	if len(f.got) != n {
		t.Errorf("asked for %+v", f.got[n:])
	}
	b.files[debURL] = fails(fetch.ErrMoved)
	if resp, body := b.do(t, "GET", "/snapshot/20260131/deb.example.org"+debPath); resp.StatusCode != http.StatusGone || !strings.Contains(resp.Status+body, "no mirror has it any more") {
		t.Errorf("what nobody has: %s: %s", resp.Status, body)
	}
}

// What neither the mirror nor a dated archive has is refused with a reason, and what
// could not be asked for is no final answer.
func TestNobodyHasItAnyMore(t *testing.T) {
	t.Parallel()
	const past, dated = "/snapshot/20260131/deb.example.org" + debPath, "http://deb.example.org/debian/pool/main/h/hello/dated/hello_2.10-3_amd64.deb"
	gone := func(url string) error { return &mirror.StatusError{URL: url, Code: http.StatusNotFound} }
	for _, tt := range []struct {
		name, url string
		err       error
		undated   bool
		status    int
		says      string
	}{
		{"neither has it", past, gone(dated), false, http.StatusGone, "nor does the dated archive: " + dated},
		{"the dated archive is away", past, gone(debURL), false, http.StatusBadGateway, "nothing came from the dated archive: " + dated},
		{"the dated archive is busy", past, &mirror.StatusError{URL: dated, Code: http.StatusTooManyRequests}, false, http.StatusTooManyRequests, dated},
		{"no dated archive", past, gone(debURL), true, http.StatusGone, "MILLPOND_FOLLOW names no dated archive"},
		{"a ring without one", "/ring/prod/deb.example.org" + debPath, gone(debURL), true, http.StatusNotFound, "404"},
		{"in force", debURL, gone(debURL), false, http.StatusNotFound, "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, _, r := newViewBox(t)
			r.undated = tt.undated
			b.files[debURL] = fails(tt.err)
			if resp, body := b.do(t, "GET", tt.url); resp.StatusCode != tt.status || !strings.Contains(resp.Status, tt.says) {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
}
