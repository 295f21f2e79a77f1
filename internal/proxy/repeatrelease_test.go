package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/mirror"
)

// That a client's InRelease is the present one is told by the short way as by the long one,
// and counted as that.
func TestRepeatUnchanged(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 1000, nil)
	b.holdRelease(t)
	first := b.session(t).check(t, aptCheck)
	if !strings.HasPrefix(first, "304 ") || !strings.Contains(first, "Age:[70]") {
		t.Fatal(first)
	}
	for range 3 { // others come with no generation
		s := b.session(t)
		b.Forget(netip.MustParseAddr("127.0.0.1"))
		for range 2 {
			b.rest(t)
			if got := s.check(t, aptCheck); got != first {
				t.Errorf("got %s, before %s", got, first)
			}
		}
	}
	if got := b.fetcher.gets.Load(); got != 2 {
		t.Errorf("fetch was asked %d times, want 2", got)
	}
	waitFor(t, "all is counted", func() bool {
		return len(b.access.all()) == 7 && b.UnderWay() == 0 && !b.Busy() && b.fetcher.reused.Load() == 0
	})
	if lines := b.access.all(); len(slices.Compact(lines)) != 1 || b.ledger.total() != 0 || b.ledger.requests["127.0.0.1 deb.example.org"] != 7 || b.fetcher.same.Load() != 7 {
		t.Errorf("access log %q, %d bytes and %v requests counted, %d of them revalidated", lines, b.ledger.total(), b.ledger.requests, b.fetcher.same.Load())
	}
	if got := b.sessions.get(context.Background(), netip.MustParseAddr("127.0.0.1"), "", mustLocation(t, archiveURL+"dists/stable")); got != digest.Of(pattern(5000)) {
		t.Errorf("the client was given generation %v", got)
	}
}

func TestNotRepeatedUnchanged(t *testing.T) {
	t.Parallel()
	replace := func(old, new string) func(*testing.T, *repeating, string) string {
		return func(*testing.T, *repeating, string) string { return strings.Replace(aptCheck, old, new, 1) }
	}
	for name, change := range map[string]func(t *testing.T, b *repeating, file string) string{
		"an older date":        replace(modified.Format(http.TimeFormat), modified.Add(-time.Hour).Format(http.TimeFormat)),
		"a later date":         replace(modified.Format(http.TimeFormat), modified.Add(time.Hour).Format(http.TimeFormat)),
		"the same in words":    replace("01 May", "01  May"),
		"no condition":         replace("If-Modified-Since", "X"),
		"another condition":    replace("If-Modified-Since: ", "If-None-Match: x\r\nIf-Modified-Since: "),
		"it is to be checked":  replace("max-age=0", "no-cache"),
		"fetch has more to do": func(_ *testing.T, b *repeating, _ string) string { b.fetcher.reuse.Store(false); return aptCheck },
		"the lists are replaced": func(_ *testing.T, b *repeating, _ string) string {
			b.Replace(mirror.Hosts{}, mirror.Hosts{})
			return aptCheck
		},
		"the file was removed": func(t *testing.T, b *repeating, file string) string {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			return aptCheck
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRepeating(t, 1000, nil)
			file := b.holdRelease(t)
			for range 3 {
				b.session(t).check(t, aptCheck)
				b.rest(t)
			}
			if got := b.fetcher.gets.Load(); got != 2 {
				t.Fatalf("fetch was asked %d times before, want 2", got)
			}
			b.session(t).check(t, change(t, b, file))
			if got := b.fetcher.gets.Load(); got == 2 {
				t.Error("it was repeated")
			}
		})
	}
}

// What not everybody is told in the same way is kept by none.
func TestNotRepeatableUnchanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fetch.File){
		"private": func(f *fetch.File) { f.Public = false },
		"stale":   func(f *fetch.File) { f.Stale = "the mirror is away" },
		"pending": func(f *fetch.File) { f.Pending = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRepeating(t, 1000, nil)
			b.holdRelease(t)
			get := b.files[headURL]
			b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
				f, err := get(ctx)
				change(f)
				return f, err
			}
			for range 4 {
				b.session(t).check(t, aptCheck)
				b.rest(t)
			}
			if got := b.fetcher.gets.Load(); got != 4 {
				t.Errorf("fetch was asked %d times, want 4", got)
			}
		})
	}
}
