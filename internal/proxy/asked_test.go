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
	"millpond/internal/mirror"
)

// What apt and the tools around it ask their proxy for is served of any host;
// anything else only of a host that is named for it.
func TestMayBeAsked(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	for target, want := range map[string]int{
		"http://archive.example.org":                                200,
		"http://archive.example.org/":                               200,
		"http://archive.example.org/debian/":                        200,
		"/archive.example.org/":                                     200,
		"http://HTTPS///archive.example.org/":                       200,
		"http://mirrors.example.org/mirrors.txt":                    200,
		"http://mirrors.example.org/DE.txt":                         200,
		"http://archive.example.org/mirror.lst":                     200,
		"http://archive.example.org/main/ubuntu.list":               200,
		"http://archive.example.org/mirrors.txt.xz":                 200,
		"http://archive.example.org/mirrorlist":                     200,
		"http://archive.example.org/api/apt/mirrorlist/debian":      200,
		"http://changelogs.example.org/meta-release":                200,
		"http://changelogs.example.org/meta-release-lts":            200,
		"http://changelogs.example.org/EOLReleaseAnnouncement":      200,
		"http://archive.example.org/x/hello_1.0_changelog":          200,
		"http://archive.example.org/changelogs/binary/h/hello/NEWS": 200,
		"http://archive.example.org/archive-key.asc":                200,
		"http://archive.example.org/example.sources":                200,
		"http://archive.example.org/debian/pool/h/hello.deb":        200,
		"http://archive.example.org/known/x":                        200,
		"http://downloads.example.org/corefonts/andale32.exe":       200,
		"http://downloads.example.org/get?file=andale32.exe&x=/../": 200,
		"/downloads.example.org/get?file":                           200,
		"https://downloads.example.org/x.exe":                       403, // another port
		"http://archive.example.org/x.exe":                          403,
		"http://archive.example.org/login":                          403,
		"http://archive.example.org/?login":                         403,
		"http://archive.example.org/mirrors.txt?country=DE":         403,
		"http://archive.example.org/debian/pool/h/hello.deb?x":      403,
	} {
		if want == 200 {
			b.files[canonicalURL(t, target)] = gives([]byte("x"), ledger.FromMirror)
		}
		resp, _ := b.do(t, http.MethodGet, target)
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", target, resp.Status, want)
		}
		if resp, _ := b.do(t, "POST", target); resp.StatusCode != 405 {
			t.Errorf("POST %s: %s", target, resp.Status)
		}
	}
}

// canonicalURL is that of the location of a request.
func canonicalURL(t *testing.T, target string) string {
	r, err := request("GET", target)
	if err != nil {
		t.Fatal(err)
	}
	return where(targetOf(r))
}

// recorder is a Fetcher that has nothing and remembers what it is asked.
type recorder struct{ got, peeked []fetch.Request }

func (*recorder) Reuse(fetch.Request) bool { return false }

func (*recorder) Unchanged(fetch.Request, *fetch.File) (time.Duration, bool) { return 0, false }

func (*recorder) Reused(digest.Digest) {}

func (f *recorder) Get(_ context.Context, r fetch.Request) (*fetch.File, error) {
	f.got = append(f.got, r)
	return nil, &mirror.StatusError{Code: 404}
}

func (f *recorder) Peek(_ context.Context, r fetch.Request) (*fetch.File, error) {
	f.peeked = append(f.peeked, r)
	body := &fakeBody{Reader: nil}
	return &fetch.File{Digest: r.Digest, Size: r.Size, Modified: modified, Body: body}, nil
}

func (f *recorder) Revalidated(catalog.Location) {}

func (f *recorder) Anticipate(r fetch.Request) { f.got = append(f.got, r) }

func TestWantsRevalidation(t *testing.T) {
	t.Parallel()
	f := new(recorder)
	b := newBox(func(o *Options) { o.Fetcher = f }).serve(t)
	for _, tt := range []struct {
		header []string
		want   bool
	}{
		{nil, false},
		{[]string{"Cache-Control: no-cache", "Pragma: no-cache"}, true}, // apt's No-Cache
		{[]string{"Cache-Control: max-age=0"}, false},                   // apt's usual
		{[]string{"Cache-Control: max-age=3600"}, false},
		{[]string{"Cache-Control: no-store"}, false}, // apt's No-Store
		{[]string{"Cache-Control: max-age=0, No-Cache"}, true},
		{[]string{"Cache-Control: max-age=0", "Cache-Control: no-cache"}, true},
		{[]string{"Pragma: no-cache"}, true},
		{[]string{"Pragma: x, no-cache"}, true},
		{[]string{"Pragma: no-cache", "Cache-Control: max-age=0"}, false}, // RFC 9111, section 5.4
		{[]string{"Cache-Control: no-cached"}, false},
	} {
		f.got = nil
		b.do(t, "GET", headURL, tt.header...)
		if len(f.got) != 1 || f.got[0].Revalidate != tt.want {
			t.Errorf("%q: asked for %+v, want Revalidate %v", tt.header, f.got, tt.want)
		}
	}
}

// A client, or a cache before it, that has the very file is told so at no cost.
func TestNotFetchedForNotModified(t *testing.T) {
	t.Parallel()
	f := new(recorder)
	b := newBox(func(o *Options) { o.Fetcher = f }).serve(t)
	d := digest.Of([]byte("x"))
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Digest: d, Size: 1}
	for header, want := range map[string]int{
		"If-None-Match: " + etag(d):                              304,
		"If-None-Match: W/" + etag(d):                            304,
		`If-None-Match: nonsense, "x", ` + etag(d):               304,
		"If-None-Match: \"x\"":                                   404,
		"If-None-Match: \"x" + etag(d)[1:]:                       404,
		"If-Modified-Since: " + modified.Format(http.TimeFormat): 404,
	} {
		f.got, f.peeked = nil, nil
		resp, _ := b.do(t, "GET", debURL, header)
		if resp.StatusCode != want || len(f.got) != want/404 || len(f.peeked) != 304/want {
			t.Errorf("%s: %s, %d fetched and %d looked at", header, resp.Status, len(f.got), len(f.peeked))
		}
	}
}
