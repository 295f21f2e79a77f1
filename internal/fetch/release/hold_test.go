package release

import (
	"context"
	"errors"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// later is a Release of the suite that a mirror sends a day after the one in force.
func (h *held) later(key *aptest.Key, date string) *catalog.CheckedRelease {
	h.t.Helper()
	text := []byte("Suite: stable\nDate: " + date + "\nSHA256:\n " + digest.Of([]byte(date)).String() + " 9 main/binary-amd64/Packages\n")
	r, err := h.catalog.CheckRelease(h.dir, catalog.ReleaseFiles{InRelease: aptest.Clearsign(text, time.Now().Add(-time.Hour), key)})
	must(h.t, err)
	return r
}

// A Release waits until its indices are held, and however they fail not for longer than
// the bound.
func TestHoldIsBounded(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	for name, tt := range map[string]struct {
		fetch func(ctx context.Context) error
		waits bool
	}{
		"held":     {func(context.Context) error { return nil }, false},
		"no room":  {func(context.Context) error { return store.ErrNoSpace }, false},
		"slow":     {func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, true},
		"refusing": {func(context.Context) error { return errors.New("refused") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holding(t, false, false, time.Now().Add(-2*time.Hour), key)
			h.install("archive.gpg", key)
			h.becomes(true, "")
			h.holdFor = 300 * time.Millisecond
			h.fetch = func(ctx context.Context, _ catalog.Location, release digest.Digest) error {
				if _, ok := h.catalog.Generation(h.dir, release); !ok {
					t.Error("the catalog does not know what is fetched")
				}
				return tt.fetch(ctx)
			}
			k, begun := &check{waiting: newWaiting()}, time.Now()
			k.learned = func() {}
			var v record
			must(t, h.hold(t.Context(), h.later(key, "Sat, 03 Jan 2026 03:04:05 UTC"), &v, k))
			if took := time.Since(begun); (took >= h.holdFor) != tt.waits {
				t.Errorf("waited for %v", took)
			}
			if v.Pending.Since.IsZero() {
				t.Error("the record does not say that a newer Release is there")
			}
		})
	}
}

// What was overtaken while it waited does not come into force.
func TestHeldReleaseIsOvertaken(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	h := holding(t, false, false, time.Now().Add(-2*time.Hour), key)
	h.install("archive.gpg", key)
	h.becomes(true, "")
	second, third := h.later(key, "Sat, 03 Jan 2026 03:04:05 UTC"), h.later(key, "Sun, 04 Jan 2026 03:04:05 UTC")
	h.fetch = func(context.Context, catalog.Location, digest.Digest) error {
		_, err := h.catalog.Adopt(third)
		return err
	}
	k := &check{waiting: newWaiting()}
	k.learned = func() {}
	if err := h.hold(t.Context(), second, new(record), k); !errors.Is(err, errOlder) {
		t.Errorf("a Release that was overtaken: %v", err)
	}
}
