package fetch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// TestWrongBytesOfACache has a cache on the way to the mirror hold other bytes: the
// mirror is asked once more past it, and no more than that.
func TestWrongBytesOfACache(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]aptest.Fault{"bytes": aptest.Corrupt(10, 4), "size": aptest.Shorter(100)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{NoByHash: true})
			r.mirror.Inject("*/Packages*", aptest.Cached(wrong))
			r.update()
			r.mirror.Inject("*/small*", aptest.Cached(wrong))
			r.want(r.packageAt("small"), r.files["small"].Data)
			// The index is at two places, which may both be asked first.
			for pattern, most := range map[string]int{"*/Packages*": 3, "*/small*": 2} {
				if n := r.mirror.Requests(pattern); n < 2 || n > most {
					t.Errorf("%s was requested %d times, want 2 to %d", pattern, n, most)
				}
			}

			r = newRig(t, aptest.Suite{})
			r.update()
			r.mirror.Inject("*/small*", wrong, aptest.Header("Age", "60")) // the mirror's own
			if _, _, err := r.read(r.packageAt("small")); !errors.Is(err, ErrWrongBytes) && !errors.Is(err, ErrMoved) {
				t.Errorf("got %v, want wrong bytes", err)
			}
			if n := r.mirror.Requests("*/small*"); n != 2 {
				t.Errorf("it was requested %d times, want 2", n)
			}
		})
	}
}

// TestCachesOnTheWay are told what apt tells them: to ask the mirror, but for what
// stays the same under its name.
func TestCachesOnTheWay(t *testing.T) {
	t.Parallel()
	for _, noByHash := range []bool{false, true} {
		r := newRig(t, aptest.Suite{NoByHash: noByHash}, noTTL)
		r.update()
		r.want(r.packageAt("small"), r.files["small"].Data)
		r.mirror.Put("/debian/dists/stable/unlisted", []byte("x"), time.Now())
		r.want("dists/stable/unlisted", []byte("x"))
		r.want("dists/stable/unlisted", []byte("x"))
		for _, q := range r.mirror.Log() {
			want := "max-age=0"
			if strings.Contains(q.Path, "/by-hash/") || strings.Contains(q.Path, "/pool/") {
				want = ""
			}
			if q.CacheControl != want {
				t.Errorf("%s was requested with %q, want %q", q.Path, q.CacheControl, want)
			}
		}
	}
}
