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

// A disk that takes long to open a file keeps no other client, nor the
// download, waiting. A named pipe without a writer stands in for such a disk.
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		if f, err := r.Get(t.Context(), Request{Entry: e}); err == nil {
			f.Body.Close()
		}
	}()
	looked := make(chan bool)
	go func() {
		defer close(looked)
		for r.Transfers()[0].Clients == 0 {
			time.Sleep(time.Millisecond)
		}
		for range 100 { // the client is about to open the file, or waits for it
			r.Transfers()
			time.Sleep(time.Millisecond)
		}
	}()
	select {
	case <-looked:
	case <-time.After(10 * time.Second):
		t.Error("the flight's lock is held while a file is opened")
	}
	for { // a writer lets the opening go on
		w, err := os.OpenFile(part, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			defer w.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	<-looked
	must(t, os.Rename(part+"-away", part))
	stall.Release()
	<-done
}
