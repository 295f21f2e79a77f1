package fetch

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/mirror"
)

// TestJoiningAFailedDownload: who joins a download that has failed before, and
// fails for good, gets a fresh try; who was there before gets its error.
func TestJoiningAFailedDownload(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	data := bytes.Repeat([]byte("x"), small)
	r.mirror.Put("/debian/"+unlisted, data, time.Now().Add(-time.Hour))
	for path, want := range map[string][]byte{r.packageAt("small"): r.files["small"].Data, unlisted: data} {
		pattern := "/debian/" + path
		cut := r.mirror.InjectTimes(1, pattern, aptest.Stall(100), aptest.Truncate(200))
		first := make(chan error, 1)
		second := make(chan error, 1)
		go func() {
			_, _, err := r.read(path)
			first <- err
		}()
		must(t, cut.Await(t.Context(), 1))
		hold := r.mirror.InjectTimes(1, pattern, aptest.Hold(), aptest.Status(404))
		cut.Release()
		must(t, hold.Await(t.Context(), 1))
		joined := r.Stats().Joined
		go func() {
			got, _, err := r.read(path)
			if err == nil && !bytes.Equal(got, want) {
				err = errors.New("other bytes")
			}
			second <- err
		}()
		for r.Stats().Joined == joined {
			runtime.Gosched()
		}
		hold.Release()
		var status *mirror.StatusError
		if err := <-first; !errors.As(err, &status) {
			t.Errorf("%s: the first got %v", path, err)
		}
		if err := <-second; err != nil {
			t.Errorf("%s: the second got %v", path, err)
		}
	}
}
