package fetch

import (
	"bytes"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// A mirror without ETags that is set back answers 304 to the date of the newer
// Release. What it has is served.
func TestSetBackWithoutETags(t *testing.T) {
	t.Parallel()
	for path, suite := range map[string]aptest.Suite{inRelease: {}, "dists/stable/Release": {NoInRelease: true}} {
		r := newRig(t, suite, noTTL)
		r.mirror.Inject("*", aptest.NoETag())
		_, _, err := r.read(path)
		must(t, err)
		before := r.archive.Publish(time.Now().Add(-2 * time.Hour))
		r.mirror.Publish("/debian", before)
		older := before.File(path)
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
		if newer, _, err := r.read(path); err != nil || bytes.Equal(newer, older) {
			t.Fatalf("no newer Release: %v", err)
		}
		sent := r.mirror.BytesSent("*" + path)
		_, _, err = r.read(path)
		must(t, err)
		if n := r.mirror.BytesSent("*"+path) - sent; n != 0 {
			t.Errorf("%s: an unchanged Release cost %d bytes", path, n)
		}
		r.mirror.Publish("/debian", before)
		r.want(path, older)
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
	undated(2)
	undated(1)
}
