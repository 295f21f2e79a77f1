package fetch

import (
	"fmt"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/clock"
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

// A check by a clock that was a day ahead counts for nothing, in this process and after a
// restart: the mirror is asked at once, and then once per TTL, also if its answer is not
// taken.
func TestCheckOfAClockAhead(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]clock.Reading{"this process": clock.Read(), "an earlier one": {Process: "earlier"}} {
		for answer, faults := range map[string][]aptest.Fault{"good": nil, "bad": {aptest.Status(404)}} {
			t.Run(name+" "+answer, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, aptest.Suite{})
				head, _, err := r.read(inRelease)
				must(t, err)
				key := "suite/" + r.dir().String()
				s, err := kv.GetJSON[map[string]map[string]any](r.options.Names, key)
				must(t, err)
				s["InRelease"]["Checked"], s["InRelease"]["Clock"] = time.Now().Add(24*time.Hour), by
				must(t, kv.PutJSON(r.options.Names, key, s))
				if faults != nil {
					r.mirror.Inject("*InRelease", faults...)
				}
				before := r.mirror.Requests("*InRelease")
				for range 3 {
					if f := r.want(inRelease, head); f.Age > time.Minute {
						t.Errorf("its age is %v", f.Age)
					}
				}
				if n := r.mirror.Requests("*InRelease") - before; n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		}
	}
}

// What an earlier process kept may be older than its clock said: it was 50 minutes ahead
// and was set while the box was down. After a start the mirror is asked once per TTL, and
// what is held is served while it is away.
func TestStartAsksTheMirror(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"mirror there": false, "mirror away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{}, func(o *Options) { o.TTL = time.Hour })
			head, _, err := r.read(inRelease)
			must(t, err)
			key := "suite/" + r.dir().String()
			s, err := kv.GetJSON[map[string]map[string]any](r.options.Names, key)
			must(t, err)
			s["InRelease"]["Checked"] = time.Now().Add(-10 * time.Minute)
			s["InRelease"]["Clock"] = clock.Reading{Process: "earlier"}
			must(t, kv.PutJSON(r.options.Names, key, s))
			if away {
				r.mirror.Down()
				if f := r.want(inRelease, head); f.Stale == "" {
					t.Error("served as fresh though the mirror was not asked")
				}
				return
			}
			before := r.mirror.Requests("*InRelease")
			for range 3 {
				r.want(inRelease, head)
			}
			if n := r.mirror.Requests("*InRelease") - before; n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}
