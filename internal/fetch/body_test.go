package fetch

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/store"
	"millpond/internal/store/storetest"
)

// A client that joins a download opens no file: a disk that takes long to do so
// keeps nobody waiting. A named pipe without a writer stands in for such a disk.
func TestSlowOpenHoldsUpNobody(t *testing.T) {
	t.Parallel()
	var dir string
	r := newRig(t, aptest.Suite{}, func(o *Options) {
		o.Store = storetest.New(t, func(s *store.Options) { dir = s.Dir })
	})
	r.update()
	stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large*3/4))
	e := r.entry(r.packageAt("large"))
	r.Anticipate(Request{Entry: e})
	part := filepath.Join(dir, "partial", e.Digest.String())
	for len(r.Transfers()) != 1 || len(r.Transfers()[0].Parts) == 0 || r.Transfers()[0].Parts[0].End < large*3/4 {
		time.Sleep(time.Millisecond)
	}
	must(t, os.Rename(part, part+"-away"))
	must(t, syscall.Mkfifo(part, 0o600))
	f, err := r.Get(t.Context(), Request{Entry: e})
	must(t, err)
	must(t, readSome(f.Body, large/4))
	must(t, f.Body.Close())
	must(t, os.Rename(part+"-away", part))
	stall.Release()
}
