package fetch

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// predate makes what the suite's record says of each of its Release files happen
// that much earlier: field is Checked, or what has a Since.
func (r *rig) predate(field string, by time.Duration) {
	r.t.Helper()
	key := "suite/" + r.dir().String()
	all, err := kv.GetJSON[map[string]map[string]any](r.options.Names, key)
	must(r.t, err)
	for _, file := range all {
		field, reading := field, field+"By"
		if in, ok := file[field].(map[string]any); ok {
			file, field, reading = in, "Since", "By"
		}
		if in, ok := file[reading].(map[string]any); ok {
			in["Passed"] = in["Passed"].(float64) - float64(by)
		}
		at, err := time.Parse(time.RFC3339, file[field].(string))
		must(r.t, err)
		if !at.IsZero() {
			file[field] = at.Add(-by)
		}
	}
	must(r.t, kv.PutJSON(r.options.Names, key, all))
}

// A bad answer does not replace the Release that is held until the mirror has
// given it for an hour.
func TestOneBadAnswerDoesNotReplaceTheRelease(t *testing.T) {
	t.Parallel()
	page := []aptest.Fault{aptest.OtherBody([]byte("<html>please log in</html>")), aptest.NoValidators()}
	for name, bad := range map[string][]aptest.Fault{
		"404": {aptest.Status(404)}, "403": {aptest.Status(403)}, "410": {aptest.Status(410)}, "451": {aptest.Status(451)},
		"302 without Location": {aptest.Status(302)}, "400": {aptest.Status(400)}, "page": page,
	} {
		for file, suite := range map[string]aptest.Suite{inRelease: {}, "dists/stable/Release": {NoInRelease: true}} {
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, suite, noTTL)
				good, _, err := r.read(file)
				must(t, err)
				r.mirror.Inject("*", bad...)
				for range 2 {
					if f := r.want(file, good); f.Stale == "" {
						t.Error("served as fresh")
					}
				}
				if _, why := r.Checked(r.dir()); why == "" {
					t.Error("the suite's record does not say why it was not checked")
				}
				r.predate("Refusal", 59*time.Minute)
				r.want(file, good)
				// Another bad answer begins another hour.
				r.mirror.ClearFaults()
				r.mirror.InjectTimes(1, "*", aptest.Status(402))
				r.want(file, good)
				r.mirror.Inject("*", bad...)
				r.predate("Refusal", time.Hour)
				r.want(file, good)

				r.predate("Refusal", time.Hour)
				var status *mirror.StatusError
				if _, _, err := r.read(file); !errors.As(err, &status) && !errors.Is(err, ErrNotRelease) {
					t.Errorf("after an hour: %v, want the mirror's answer", err)
				}
				if info, err := r.store.Stat(digest.Of(good)); err != nil || info.Pinned {
					t.Errorf("the Release that the mirror does not have any more is pinned (%v)", err)
				}
				if at, why := r.Checked(r.dir()); why == "" || at.IsZero() {
					t.Errorf("the suite's record does not say why it is gone: %v, %q", at, why)
				}
				r.mirror.ClearFaults()
				if f := r.want(file, good); f.Stale != "" {
					t.Errorf("stale, although the mirror has it: %s", f.Stale)
				}
			})
		}
	}
}

// While the held Release is served in the place of a bad answer, the mirror is
// asked once per TTL; and at once it is in force when the mirror has it again.
func TestBadAnswerOncePerTTL(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	good, _, err := r.read(inRelease)
	must(t, err)
	r.releases.Expire(r.dir())
	r.predate("Checked", time.Second)
	r.mirror.Inject("*", aptest.Status(404))
	for range 10 {
		if f := r.want(inRelease, good); f.Stale == "" || f.Age < time.Second {
			t.Errorf("served as fresh: %+v", f)
		}
	}
	if n := r.mirror.Requests("*InRelease"); n != 2 {
		t.Errorf("%d requests of the mirror, want 2", n)
	}
}

// An archive that wants a login says so to its clients at once.
func TestWantedLoginCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	good, _, err := r.read(inRelease)
	must(t, err)
	r.mirror.Inject("*", aptest.Status(401, "WWW-Authenticate", "Basic"))
	var status *mirror.StatusError
	if got, _, err := r.read(inRelease); !errors.As(err, &status) || status.Code != 401 {
		t.Errorf("%d bytes, %v; want 401", len(got), err)
	}
	r.mirror.ClearFaults()
	if again, _, err := r.read(inRelease); err != nil || !bytes.Equal(again, good) {
		t.Errorf("%d bytes, %v", len(again), err)
	}
}
