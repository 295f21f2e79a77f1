package fetch

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/store"
	"millpond/internal/store/storetest"
)

// While the disk takes its time with files that are whole, their clients have them, and
// others get what is held and what is not. When the disk has taken them, they are held.
func TestSlowSync(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	done := make(chan struct{})
	r := newRig(t, aptest.Suite{}, func(o *Options) {
		o.Store = storetest.New(t, func(s *store.Options) {
			s.Fault = func(op string) error {
				if op == "sync" && slow.Load() {
					<-done
				}
				return nil
			}
		})
	})
	ends := sync.OnceFunc(func() { close(done) })
	t.Cleanup(ends)
	r.update()
	other, _ := storetest.Bytes(1, large)
	r.mirror.Put("/debian/"+unlisted, other, time.Now().Add(-time.Hour))
	files := map[string][]byte{r.packageAt("small"): r.files["small"].Data, r.packageAt("large"): r.files["large"].Data, unlisted: other}
	slow.Store(true)
	sent := r.taken.Load()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 { // the second time others ask
		for path, data := range files {
			f, err := r.get(ctx, path, digest.Digest{})
			must(t, err)
			got, err := io.ReadAll(f.Body)
			f.Body.Close()
			if err != nil || digest.Of(got) != digest.Of(data) {
				t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(data), err)
			}
			if r.held(digest.Of(data)) {
				t.Errorf("%s is held, the disk was not slow", path)
			}
		}
	}
	if _, _, err := r.read(inRelease); err != nil {
		t.Error(err)
	}
	if n := r.taken.Load() - sent; n > int64(small+2*large+64<<10) {
		t.Errorf("the mirror sent %d bytes", n)
	}
	ends()
	for _, data := range files {
		for end := time.Now().Add(10 * time.Second); !r.held(digest.Of(data)); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a file is not held although the disk has taken it")
			}
		}
	}
}

// The end of a file beyond wholeSize is given out before the disk is asked to take it, that
// of others when it has.
func TestLargeFilesDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	var r *rig
	whole := make(map[int64]bool) // by size, as the disk was asked
	var mu sync.Mutex             // guards whole
	r = newRig(t, aptest.Suite{}, func(o *Options) {
		o.Store = storetest.New(t, func(s *store.Options) {
			s.Fault = func(op string) error {
				if op != "sync" || r == nil {
					return nil
				}
				r.Fetcher.mu.Lock()
				defer r.Fetcher.mu.Unlock()
				mu.Lock()
				defer mu.Unlock()
				for _, fl := range r.flights {
					fl.mu.Lock()
					whole[fl.size] = fl.whole
					fl.mu.Unlock()
				}
				return nil
			}
		})
	})
	for _, size := range []int{wholeSize, wholeSize + 1} {
		data, d := storetest.Bytes(uint64(size), size)
		path := fmt.Sprint(unlisted, size)
		r.mirror.Put("/debian/"+path, data, time.Now().Add(-time.Hour))
		if got, _, err := r.read(path); err != nil || digest.Of(got) != d {
			t.Fatalf("%d bytes of %d, %v", len(got), size, err)
		}
		for end := time.Now().Add(30 * time.Second); !r.held(d); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the disk does not take a file")
			}
		}
		mu.Lock()
		if got, asked := whole[int64(size)]; !asked || got != (size > wholeSize) {
			t.Errorf("a file of %d bytes: given out %v, the disk was asked %v", size, got, asked)
		}
		mu.Unlock()
	}
}
