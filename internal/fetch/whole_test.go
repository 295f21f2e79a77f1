package fetch

import (
	"errors"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// While the mirror is away, clients get the Release of the generation which the box holds
// complete; at other times the newest one, and that too where nothing is complete.
func TestWholeGenerationWhileTheMirrorIsAway(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		suite aptest.Suite
		files []string
	}{
		{"InRelease", aptest.Suite{}, []string{inRelease}},
		{"Release", aptest.Suite{NoInRelease: true}, []string{"dists/stable/Release", "dists/stable/Release.gpg"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var complete digest.Digest
			r := newRig(t, test.suite, noTTL, func(o *Options) {
				o.Complete = func(catalog.Location) digest.Digest { return complete }
			})
			read := func(path string) []byte {
				b, _, err := r.read(path)
				must(t, err)
				return b
			}
			old, now := make(map[string][]byte), make(map[string][]byte)
			for _, path := range test.files {
				old[path] = read(path)
				must(t, r.store.Pin(digest.Of(old[path]), "a slice"))
			}
			first := digest.Of(old[test.files[0]])
			r.archive.Add(aptest.Package{Name: "more", Version: "1"})
			r.publish()
			complete = first
			for _, path := range test.files {
				now[path] = read(path)
				if digest.Of(now[path]) == digest.Of(old[path]) {
					t.Fatalf("%s is the old one while the mirror answers", path)
				}
			}
			r.mirror.Down()
			for _, path := range test.files {
				if f := r.want(path, old[path]); f.Release != first || f.Stale == "" {
					t.Errorf("%s is of generation %s, and stale since %q", path, f.Release.Short(), f.Stale)
				}
			}
			var status *mirror.StatusError
			if _, _, err := r.read(inRelease); test.suite.NoInRelease && (!errors.As(err, &status) || status.Code != 404) {
				t.Errorf("InRelease, which there is not: %v", err)
			}
			complete = digest.Digest{}
			for _, path := range test.files {
				r.want(path, now[path])
			}
			complete = digest.Of([]byte("a generation that nobody knows any more"))
			for _, path := range test.files {
				r.want(path, now[path])
			}
		})
	}
}
