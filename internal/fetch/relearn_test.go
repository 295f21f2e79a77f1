package fetch

import (
	"testing"

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
		r.relearn(t.Context())
		if learned := r.catalog.Idle(); learned != nil {
			<-learned
		}
		r.want(path, r.files["small"].Data)
	}
}
