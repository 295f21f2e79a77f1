package fetch

import (
	"context"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// When the database was lost, a client that has its lists gets what is held, without an
// update and while the mirror is away.
func TestRelearn(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		r := newRig(t, suite)
		path := r.files["small"].Path
		for _, p := range []string{"dists/stable/" + name, "dists/stable/main/binary-amd64/Packages.xz", path} {
			if _, _, err := r.read(p); err != nil {
				t.Fatal(err)
			}
		}
		r.mirror.Down()
		r.forget()
		if _, _, err := r.read(path); err == nil {
			t.Fatalf("%s: a package that an empty catalog knows", name)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) }) // returns nil
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, _, err := r.read(path); err == nil {
				break
			}
		}
		r.want(path, r.files["small"].Data)
		cancel()
		running.Wait()
	}
}
