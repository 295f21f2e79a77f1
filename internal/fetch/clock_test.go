package fetch

import (
	"fmt"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// Within the TTL the mirror is asked once, and once more when the TTL has
// passed, though a clock that was set back says that it has not.
func TestClockSetBackKeepsNothingFresh(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		r := newRig(t, suite)
		path := "dists/stable/" + name
		head, _, err := r.read(path)
		must(t, err)
		for i, passed := range []time.Duration{0, r.options.TTL} {
			key := "suite/" + r.dir().String()
			s, err := kv.GetJSON[map[string]struct {
				mirror.Copy
				Unchecked string
				Missing   int
			}](r.names, key)
			must(t, err)
			v := s[name]
			v.Checked = time.Now().Add(-time.Second)
			v.Clock.Passed -= passed
			s[name] = v
			must(t, kv.PutJSON(r.names, key, s))
			r.want(path, head)
			r.want(path, head)
			if n := r.mirror.Requests(fmt.Sprintf("*/%s", name)); n != 1+i {
				t.Errorf("%s: %d requests after %v, want %d", name, n, passed, 1+i)
			}
		}
	}
}
