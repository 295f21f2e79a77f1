package fetch

import (
	"errors"
	"io"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// releaseFiles are a Release and its signature.
func releaseFiles(release, sig []byte) catalog.ReleaseFiles {
	return catalog.ReleaseFiles{Release: release, Signature: sig}
}

// unlisted is the path of a file that no index lists.
const unlisted = "dists/stable/unlisted.bin"

func TestUnknownFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	first, second := make([]byte, large), make([]byte, large)
	second[0] = 1
	r.mirror.Put("/debian/"+unlisted, first, time.Now().Add(-time.Hour))

	stall := r.mirror.Inject("*unlisted*", aptest.Stall(large*3/4))
	f, err := r.get(t.Context(), unlisted, digest.Digest{})
	must(t, err)
	must(t, readSome(f.Body, large/4)) // it streams
	stall.Release()
	if rest, err := io.ReadAll(f.Body); err != nil || len(rest) != large*3/4 {
		t.Errorf("rest: %d bytes, %v", len(rest), err)
	}
	f.Body.Close()

	before := r.mirror.BytesSent("*")
	r.want(unlisted, first)
	if sent := r.mirror.BytesSent("*") - before; sent != 0 {
		t.Errorf("an unchanged file cost %d bytes of the mirror", sent)
	}
	r.mirror.Put("/debian/"+unlisted, second, time.Now())
	r.want(unlisted, second)
	r.mirror.Down()
	if f := r.want(unlisted, second); f.Stale == "" {
		t.Error("served as fresh although the mirror is away")
	}
	must(t, r.store.Remove(digest.Of(second)))
	must(t, r.sweep())
	if v, err := kv.GetJSON[mirror.Copy](r.names, unknownKey(r.at(unlisted), "")); err != nil || !v.Digest.IsZero() {
		t.Errorf("the name of an evicted file is kept: %+v, %v", v, err)
	}
}

func TestUnknownFileIsNotMixed(t *testing.T) {
	t.Parallel()
	for _, validators := range []bool{true, false} {
		r := newRig(t, aptest.Suite{}, noTTL)
		data := make([]byte, large)
		r.mirror.Put("/debian/"+unlisted, data, time.Now().Add(-time.Hour))
		faults := []aptest.Fault{aptest.Truncate(large / 2)}
		if !validators {
			faults = append(faults, aptest.NoValidators())
		}
		r.mirror.InjectTimes(1, "*unlisted*", faults...)
		r.want(unlisted, data)
	}
}

func TestUnknownFileWithFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	data := make([]byte, large)
	r.mirror.Put("/debian/"+unlisted, data, time.Now().Add(-time.Hour))
	r.disk.Full(true)
	r.want(unlisted, data)
}

func TestIndexTeaches(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.catalog.Resolve(t.Context(), r.at(r.packageAt("small")), nil)
	if e.Kind != catalog.Content || e.Digest != digest.Of(r.files["small"].Data) || !e.Signed {
		t.Errorf("after its index passed through, a package is %+v", e)
	}
	if s := r.Stats(); s.Learned != 1 || s.LearnFaults != 0 {
		t.Errorf("learned %d, faults %d", s.Learned, s.LearnFaults)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	must(t, r.Fetcher.Close())
	for _, path := range []string{r.packageAt("small"), "dists/stable/main/binary-amd64/Packages.gz", unlisted} {
		if _, _, err := r.read(path); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", path, err)
		}
	}
}

// What stood in the place of a file while a network wanted a login is not served
// when that is over; nor is a suite's not being there.
func TestPassingAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}) // with a TTL
	page, data := []byte("<html>log in</html>"), []byte("data")
	r.mirror.Put("/debian/"+unlisted, data, time.Now().Add(-time.Hour))
	portal := r.mirror.Inject("*", aptest.OtherBody(page), aptest.NoValidators(), aptest.Header("Content-Type", "text/html"))
	r.want(unlisted, page)
	portal.Release()
	r.want(unlisted, data)

	r.mirror.Inject("*elease*", aptest.Status(404))
	for _, name := range []string{inRelease, "dists/stable/Release"} {
		var status *mirror.StatusError
		if _, _, err := r.read(name); !errors.As(err, &status) || status.Code != 404 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.mirror.ClearFaults()
	for asked := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, _, err := r.read(inRelease); err == nil {
			break
		} else if time.Since(asked) > r.ttl/2 {
			t.Fatalf("when it is there: %v", err)
		}
	}
}
