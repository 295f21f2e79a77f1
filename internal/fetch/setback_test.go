package fetch

import (
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A mirror without ETags that is set back answers 304 to the date of the newer
// Release. It is asked for what it has, which is rejected.
func TestSetBackWithoutETags(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		r := newRig(t, suite, noTTL)
		r.mirror.Inject("*", aptest.NoETag())
		before := r.archive.Publish(time.Now().Add(-2 * time.Hour))
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
		newer, _, err := r.read(path)
		must(t, err)
		r.want(path, newer)
		sent := r.mirror.BytesSent("*" + path)
		r.want(path, newer)
		if n := r.mirror.BytesSent("*"+path) - sent; n != 0 {
			t.Errorf("%s: an unchanged Release cost %d bytes", path, n)
		}
		r.mirror.Publish("/debian", before)
		r.want(path, newer)
		if was, ok := r.Rejected(r.dir()); !ok || was.Digest != digest.Of(before.File(path)) {
			t.Errorf("%s: rejected %+v, %v", path, was, ok)
		}
	}
}

// A 304 to a date that has none of its own is believed for an hour; then the file
// is requested once.
func TestUndated304IsBelievedForAnHour(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	r.mirror.Inject("*", aptest.NoETag())
	head, _, err := r.read(inRelease)
	must(t, err)
	r.want(inRelease, head) // two answers prove its date
	undated := func(requests int) {
		t.Helper()
		before := r.mirror.Requests("*InRelease")
		r.mirror.InjectTimes(1, "*InRelease", aptest.Status(304))
		r.want(inRelease, head)
		if n := r.mirror.Requests("*InRelease") - before; n != requests {
			t.Errorf("%d requests, want %d", n, requests)
		}
	}
	undated(1)
	r.predate("Seen", time.Hour)
	r.predate("Compared", time.Hour)
	undated(2)
	undated(1)
}
