package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
	"millpond/internal/store/storetest"
)

// These tests are about one promise: whoever joined a download gets all of its
// bytes, whatever becomes of the blob and however the download ends.

// crowd has 20 clients get a path at once, each of which must get data whole.
func (r *rig) crowd(path string, data []byte) {
	r.t.Helper()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, _, err := r.read(path)
			if err != nil {
				r.t.Errorf("%s: %v", path, err)
			} else if !bytes.Equal(got, data) {
				r.t.Errorf("%s: got %d bytes, want %d", path, len(got), len(data))
			}
		})
	}
	all.Wait()
}

// The mirror answers a request for an unlisted file with bytes that are held
// already, so that its download ends without a blob of its own.
func TestUnknownFileOfHeldBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	for i := range 24 {
		size := []int{0, 1, small, large}[i%4]
		data, d := storetest.Bytes(uint64(i), size)
		must(t, r.store.Put(d, int64(size), bytes.NewReader(data), store.Meta{}))
		path := strings.Replace(unlisted, "unlisted", fmt.Sprintf("unlisted-%d", i), 1)
		r.mirror.Put("/debian/"+path, data, time.Now().Add(-time.Hour))
		if i%3 == 0 {
			r.mirror.Inject("*"+path, aptest.NoContentLength())
		}
		r.crowd(path, data)
	}
}

// The blob comes in by another way while it is being downloaded.
func TestBlobComesInDuringItsDownload(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	for _, name := range []string{"small", "large"} {
		data := r.files[name].Data
		stall := r.mirror.InjectTimes(1, "*/"+name+"*", aptest.Stall(int64(len(data)/2)))
		var all sync.WaitGroup
		all.Go(func() { r.crowd(r.packageAt(name), data) })
		for len(r.Transfers()) != 1 || r.Transfers()[0].Clients < 20 || len(r.Transfers()[0].Parts) == 0 {
			time.Sleep(time.Millisecond)
		}
		must(t, r.store.Put(digest.Of(data), int64(len(data)), bytes.NewReader(data), store.Meta{}))
		stall.Release()
		all.Wait()
	}
}

// The blob is evicted before a client has read its first byte.
func TestBlobGoesBeforeItIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	other, _ := storetest.Bytes(1, small)
	r.mirror.Put("/debian/"+unlisted, other, time.Now().Add(-time.Hour))
	e := r.entry(r.packageAt("small"))
	for _, tt := range []struct {
		r    Request
		make func() *flight
		data []byte
	}{
		{Request{Entry: e}, func() *flight { return r.newContentFlight(Request{Entry: e}) }, r.files["small"].Data},
		{Request{Entry: catalog.Entry{Location: r.at(unlisted)}}, func() *flight {
			return r.newUnknownFlight(Request{Entry: catalog.Entry{Location: r.at(unlisted)}}, mirror.Copy{})
		}, other},
	} {
		fl, _, err := r.join(tt.r, tt.make)
		must(t, err)
		b := fl.newBody(t.Context(), true)
		fl.enter()
		must(t, fl.wait(t.Context()))
		must(t, r.store.Remove(digest.Of(tt.data)))
		// A download of the same digest begins anew, in a file of the same name.
		next, err := r.store.Partial(digest.Of(tt.data), small)
		must(t, err)
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, tt.data) {
			t.Errorf("%v: got %d bytes, %v", tt.r.Location, len(got), err)
		}
		must(t, next.Discard())
		must(t, b.Close())
		if fl.file != nil {
			t.Errorf("%v: the file stays open after its last reader", tt.r.Location)
		}
	}
}

// The disk refuses to keep a file: when it is opened, written or committed.
func TestFileThatCannotBeKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op    string
		cause error
	}{
		{"create", syscall.EROFS}, {"create", syscall.ENOSPC}, {"write", syscall.EIO}, {"chmod", syscall.EPERM},
		{"sync", syscall.ENOSPC}, {"sync", syscall.EROFS},
	} {
		var broken atomic.Bool
		r := newRig(t, aptest.Suite{}, noTTL, func(o *Options) {
			o.Store = storetest.New(t, func(s *store.Options) {
				s.Fault = func(op string) error {
					if op == tt.op && broken.Load() {
						return tt.cause
					}
					return nil
				}
			})
		})
		r.update()
		other, _ := storetest.Bytes(1, large)
		r.mirror.Put("/debian/"+unlisted, other, time.Now().Add(-time.Hour))
		broken.Store(true)
		for path, data := range map[string][]byte{
			r.packageAt("small"): r.files["small"].Data, r.packageAt("large"): r.files["large"].Data, unlisted: other,
		} {
			r.crowd(path, data)
			if r.held(digest.Of(data)) {
				t.Errorf("%v: %s is held", tt, path)
			}
		}
		if err := r.Keep(t.Context(), r.entry(r.packageAt("large"))); !errors.Is(err, tt.cause) {
			t.Errorf("%v: Keep: got %v, want %v", tt, err, tt.cause)
		}
	}
}

// A disk that can neither read what is held nor write: held files are fetched again, and
// passed through.
func TestHeldFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	r := newRig(t, aptest.Suite{}, noTTL, func(o *Options) {
		o.Store = storetest.New(t, func(s *store.Options) {
			s.Fault = func(string) error {
				if broken.Load() {
					return syscall.EIO
				}
				return nil
			}
		})
	})
	r.update()
	path, data := r.packageAt("large"), r.files["large"].Data
	r.crowd(path, data)
	if !r.held(digest.Of(data)) {
		t.Fatal("the file is not held")
	}
	broken.Store(true)
	r.crowd(path, data)
	if err := r.store.Err(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the store's Err: %v", err)
	}
	broken.Store(false)
	r.crowd(path, data)
	if !r.held(digest.Of(data)) {
		t.Error("the file is not held again although the disk is well")
	}
}

// An index may be empty; no mirror is asked for its bytes.
func TestEmptyContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := catalog.Entry{Kind: catalog.Content, Location: r.at("dists/stable/empty"), Digest: digest.Of(nil), Size: 0}
	for range 5 {
		f, err := r.Get(t.Context(), Request{Entry: e})
		must(t, err)
		if b, err := io.ReadAll(f.Body); err != nil || len(b) != 0 || f.Size != 0 {
			t.Errorf("got %d bytes of %d, %v", len(b), f.Size, err)
		}
		must(t, f.Body.Close())
	}
}

// A client that comes as a download is abandoned begins it anew, from what is
// there.
func TestDownloadBeginsAsAnotherEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	for range 20 {
		stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large/2))
		fl, _, err := r.join(Request{Entry: e}, func() *flight { return r.newContentFlight(Request{Entry: e}) })
		must(t, err)
		for fl.position() < large/2 {
			time.Sleep(time.Millisecond)
		}
		fl.leave()
		fl.abandon()
		r.crowd(r.packageAt("large"), r.files["large"].Data)
		stall.Release()
		must(t, r.store.Remove(e.Digest))
	}
}
