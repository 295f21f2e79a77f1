package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// attack is a Release that somebody sends in the place of the present one: text is
// the present Release's, changed.
type attack struct {
	name string
	text func(string) string
	keys func(*rig) []*aptest.Key
}

var dateField = regexp.MustCompile(`(?m)^Date: .*$`)

// dated is text as of a time.
func dated(text string, at time.Time) string {
	return dateField.ReplaceAllString(text, "Date: "+at.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"))
}

func sameKey(r *rig) []*aptest.Key { return []*aptest.Key{r.key} }

// later is what an attacker would say to be preferred.
func later(text string) string { return dated(text, time.Now().Add(-time.Minute)) }

var attacks = []attack{
	{"replay", func(text string) string { return dated(text, time.Now().Add(-50*time.Hour)) }, sameKey},
	{"expired replay", func(text string) string {
		return dated(text, time.Now().Add(-50*time.Hour)) + "Valid-Until: Thu, 01 Jan 2026 00:00:00 UTC\n"
	}, sameKey},
	{"no signature", later, func(*rig) []*aptest.Key { return nil }},
	{"stranger's key", later, func(*rig) []*aptest.Key { return []*aptest.Key{aptest.NewKey("stranger")} }},
	{"another suite", func(text string) string {
		return later(strings.NewReplacer("Suite: stable", "Suite: testing", "Codename: stable-codename", "Codename: testing-codename").Replace(text))
	}, sameKey},
	{"another suite's older", func(text string) string {
		return dated(strings.Replace(strings.Replace(text, "Suite: stable", "Suite: oldstable", 1), "Codename: stable-codename", "Codename: old", 1),
			time.Now().Add(-50*time.Hour))
	}, sameKey},
}

// files are the attacker's Release files, by name; nil for one that is not there.
func (a attack) files(r *rig, g *aptest.Generation) map[string][]byte {
	text := []byte(a.text(string(g.File("dists/stable/Release"))))
	keys := a.keys(r)
	if len(keys) == 0 {
		return map[string][]byte{"InRelease": text, "Release": text, "Release.gpg": nil}
	}
	at := time.Now().Add(-time.Minute)
	return map[string][]byte{"InRelease": aptest.Clearsign(text, at, keys...), "Release": text, "Release.gpg": aptest.Sign(text, at, keys...)}
}

const (
	present = "those of the present file"
	always  = -1
)

// withValidators are what may stand beside the attacker's bytes.
var withValidators = map[string][]aptest.Fault{
	present:    nil,
	"its ETag": {aptest.Header("Last-Modified", time.Now().Add(-50*time.Hour).UTC().Format(http.TimeFormat))},
}

// strike has the mirrors send the attacker's files: for the next requests for each.
func (s *several) strike(times int, files map[string][]byte, validators []aptest.Fault) {
	for _, m := range s.all {
		for name, data := range files {
			faults := append([]aptest.Fault{aptest.OtherBody(data)}, validators...)
			if data == nil {
				faults = []aptest.Fault{aptest.Status(404)}
			}
			m.InjectTimes(times, "*/"+name, faults...)
		}
	}
}

// try reads a file of which an attacker may make an error.
func (s *several) try(path string) []byte {
	b, _, err := s.read(path)
	if err != nil {
		return nil
	}
	return b
}

// Whatever somebody sends in the place of a suite's Release, once or for as long as
// it takes, does not replace the one that the box holds, and is gone with the next
// good answer.
func TestThePastDoesNotReplaceThePresent(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		for path, suite := range forms {
			for _, warm := range []bool{false, true} {
				run := func(mirrors, times int, validators string) {
					name := fmt.Sprintf("%s/%s/warm %v/%d mirrors, %d times, validators: %s", a.name, filepath.Base(path), warm, mirrors, times, validators)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						attackedRig(t, suite, mirrors).resist(path, a, warm, times, withValidators[validators])
					})
				}
				run(1, always, present)
				if testing.Short() {
					continue
				}
				run(1, always, "its ETag")
				run(1, 1, present)
				run(3, always, present)
			}
		}
	}
}

func attackedRig(t *testing.T, suite aptest.Suite, mirrors int) *several {
	t.Helper()
	suite.Compressions, suite.NoPDiffs = []string{"xz"}, true
	if mirrors > 1 {
		return newSeveral(t, suite, noTTL)
	}
	r := newRig(t, suite, noTTL)
	return &several{r, []*aptest.Mirror{r.mirror}}
}

// resist has the attack run and end.
func (s *several) resist(path string, a attack, warm bool, times int, validators []aptest.Fault) {
	t := s.t
	t.Helper()
	_, present := s.generations()
	for _, m := range s.all {
		m.Publish("/debian", present)
	}
	if warm {
		s.suite(path, present)
		s.want(path, present.File(path))
	}
	s.strike(times, a.files(s.rig, present), validators)
	for range 3 {
		if got := s.try(path); warm && !bytes.Equal(got, present.File(path)) {
			t.Fatalf("%d bytes in the place of the held one", len(got))
		}
		if g, ok := s.catalog.Generation(s.dir(), digest.Digest{}); warm && (!ok || !g.Signed || g.ID != digest.Of(present.File(path))) {
			t.Fatalf("in force: %+v", g)
		}
	}
	for _, m := range s.all {
		m.ClearFaults()
	}
	if f := s.suite(path, present); f.Stale != "" {
		t.Errorf("stale, although the mirror has it: %s", f.Stale)
	}
	if was, ok := s.Rejected(s.dir()); ok {
		t.Errorf("still rejected: %+v", was)
	}
	s.archive.Add(aptest.Package{Name: "next", Version: "1", Size: 10})
	next := s.archive.Publish(time.Now().Add(-time.Second))
	for _, m := range s.all {
		m.Publish("/debian", next)
	}
	if f := s.suite(path, next); f.Stale != "" {
		t.Errorf("the next generation is not taken at once: %s", f.Stale)
	}
}

// What is rejected is asked for once more, past the caches on the way, and no more
// than that as long as it is the same.
func TestRejectedIsAskedForOnceMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	older := r.archive.Publish(time.Now().Add(-2 * time.Hour)).File(inRelease)
	r.publish()
	good, _, err := r.read(inRelease)
	must(t, err)
	r.want(inRelease, good)
	asked := func() (all []string) {
		for _, q := range r.mirror.Log() {
			all = append(all, q.CacheControl)
		}
		r.mirror.ResetLog()
		return all
	}
	asked()
	r.mirror.Inject("*InRelease", aptest.Cached(aptest.OtherBody(older), aptest.NoValidators()))
	if f := r.want(inRelease, good); f.Stale != "" {
		t.Errorf("stale: %s", f.Stale)
	}
	if got := asked(); len(got) != 2 || got[1] != "no-cache" {
		t.Errorf("asked with %q, want no-cache the second time", got)
	}
	r.mirror.ClearFaults()
	r.mirror.Inject("*InRelease", aptest.OtherBody(older), aptest.NoValidators())
	for _, want := range []int{2, 1, 1} {
		if f := r.want(inRelease, good); f.Stale == "" {
			t.Error("nobody is told")
		}
		if got := asked(); len(got) != want {
			t.Errorf("%d requests, want %d", len(got), want)
		}
	}
	was, ok := r.Rejected(r.dir())
	if !ok || was.Digest != digest.Of(older) || !was.Last.After(was.First) || !strings.Contains(was.Why, "older") {
		t.Errorf("rejected: %+v, %v", was, ok)
	}
}

// A suite goes on although its names change, as they do when a distribution is
// released; what is of another suite or archive does not replace it.
func TestReleasesThatChangeTheirNames(t *testing.T) {
	t.Parallel()
	type names struct{ suite, codename, origin, label string }
	for _, tt := range []struct {
		what, dir string
		held, now names
		want      bool
	}{
		{"stable moves on", "stable", names{"stable", "bookworm", "Debian", "Debian"}, names{"stable", "trixie", "Debian", "Debian"}, true},
		{"bookworm becomes oldstable", "bookworm", names{"stable", "bookworm", "Debian", "Debian"}, names{"oldstable", "bookworm", "Debian", "Debian"}, true},
		{"bookworm at the place of stable", "stable", names{"stable", "trixie", "Debian", "Debian"}, names{"oldstable", "bookworm", "Debian", "Debian"}, false},
		{"bookworm at the place of trixie", "trixie", names{"stable", "trixie", "Debian", "Debian"}, names{"oldstable", "bookworm", "Debian", "Debian"}, false},
		{"buster/updates", "buster/updates", names{"oldstable", "buster", "Debian", "Debian-Security"}, names{"oldoldstable", "buster", "Debian", "Debian-Security"}, true},
		{"bookworm-security", "bookworm-security", names{"stable-security", "bookworm-security", "Debian", "Debian-Security"}, names{"oldstable-security", "bookworm-security", "Debian", "Debian-Security"}, true},
		{"another archive of the vendor", "stable", names{"stable", "stable", "code", "code"}, names{"stable", "stable", "edge", "edge"}, false},
		{"a new label", "jammy", names{"jammy", "jammy", "LP-PPA-me", "Mine"}, names{"jammy", "jammy", "LP-PPA-me", "Still mine"}, true},
		{"names of its own", "debian-any", names{"main", "any", "Vendor", "Vendor"}, names{"main", "all", "Vendor", "Vendor"}, true},
		{"other names of its own", "debian-any", names{"main", "any", "Vendor", "Vendor"}, names{"test", "all", "Vendor", "Vendor"}, false},
		{"no names, then some", "any", names{}, names{"any", "any", "Vendor", "Vendor"}, true},
		{"no names at all", "any", names{}, names{}, true},
		{"names gone", "any", names{"any", "any", "Vendor", "Vendor"}, names{}, false},
	} {
		r := newRig(t, aptest.Suite{}, noTTL)
		path := "dists/" + tt.dir + "/InRelease"
		put := func(n names, age time.Duration) []byte {
			at := time.Now().Add(-age)
			text := dated("Date: x\n", at)
			for field, value := range map[string]string{"Suite": n.suite, "Codename": n.codename, "Origin": n.origin, "Label": n.label} {
				if value != "" {
					text += field + ": " + value + "\n"
				}
			}
			data := aptest.Clearsign([]byte(text+"SHA256:\n "+digest.Of(nil).String()+" 0 main/binary-amd64/Packages\n"), at, r.key)
			r.mirror.Put("/debian/"+path, data, at)
			return data
		}
		held := put(tt.held, 2*time.Hour)
		r.want(path, held)
		r.want(path, held)
		now := put(tt.now, time.Hour)
		want := held
		if tt.want {
			want = now
		}
		got, f, err := r.read(path)
		must(t, err)
		if !bytes.Equal(got, want) || tt.want != (f.Stale == "") {
			t.Errorf("%s: replaced %v, want %v: %q", tt.what, bytes.Equal(got, now), tt.want, f.Stale)
		}
	}
}

// What came first to a box that had nothing is not what all later ones have to be
// of, if the mirror keeps to another archive's.
func TestForeignReleaseCameFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	g := r.archive.Publish(time.Now().Add(-time.Hour))
	r.mirror.Publish("/debian", g)
	other := regexp.MustCompile(`(?m)^(Origin|Label): .*$`).ReplaceAllString(string(g.File(releaseOnly)), "$1: Other")
	first := aptest.Clearsign([]byte(later(other)), time.Now().Add(-time.Minute), r.key)
	r.mirror.InjectTimes(1, "*InRelease", aptest.OtherBody(first))
	r.want(inRelease, first)
	r.want(inRelease, g.File(inRelease))
}

// Without its InRelease, which somebody keeps away, a suite does not go back to an
// older or unsigned pair; what has the same text as the held one is the same.
func TestTheOtherFormDoesNotReplaceThePresent(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		s := attackedRig(t, aptest.Suite{}, 1)
		_, present := s.generations()
		s.mirror.Publish("/debian", present)
		s.suite(inRelease, present)
		s.mirror.Inject("*InRelease", aptest.Status(404))
		s.strike(-1, a.files(s.rig, present), nil)
		for _, file := range []string{"Refusal", "Refusal"} {
			s.try(inRelease)
			s.predate(file, 2*time.Hour)
		}
		if got := s.try(inRelease); got != nil {
			t.Fatalf("%s: InRelease is still there after an hour of 404", a.name)
		}
		if got, _, err := s.read(releaseOnly); err == nil {
			t.Errorf("%s: a pair of %d bytes in the place of a signed InRelease", a.name, len(got))
		}
		if g, ok := s.catalog.Generation(s.dir(), digest.Digest{}); !ok || g.ID != digest.Of(present.File(inRelease)) {
			t.Errorf("%s: in force: %+v", a.name, g)
		}
		s.mirror.ClearFaults()
		s.suite(inRelease, present)
		s.mirror.Inject("*Release.gpg", aptest.Status(404))
		s.want(releaseOnly, present.File(releaseOnly))
		if g, ok := s.catalog.Generation(s.dir(), digest.Digest{}); !ok || !g.Signed {
			t.Errorf("%s: after the pair without a signature: %+v", a.name, g)
		}
	}
}

// An administrator accepts an archive that has really gone back: exactly what was
// rejected, and not what comes after it.
func TestAcceptedRelease(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		for name, a := range map[string]attack{"older": attacks[0], "unsigned": attacks[2], "another key": attacks[3], "another suite": attacks[4]} {
			if name == "unsigned" && path == inRelease {
				continue // that is no InRelease at all
			}
			s := attackedRig(t, suite, 1)
			_, present := s.generations()
			s.mirror.Publish("/debian", present)
			s.suite(path, present)
			gone := a.files(s.rig, present)
			s.strike(-1, gone, []aptest.Fault{aptest.NoValidators()})
			s.want(path, present.File(path))
			was, ok := s.Rejected(s.dir())
			back := gone[filepath.Base(path)]
			if !ok || was.Digest != digest.Of(back) {
				t.Fatalf("%s: rejected %+v", name, was)
			}
			if err := s.AcceptRelease(t.Context(), s.dir(), digest.Of([]byte("other"))); !errors.Is(err, ErrNotRejected) {
				t.Errorf("%s: another digest: %v", name, err)
			}
			must(t, s.AcceptRelease(t.Context(), s.dir(), was.Digest))
			if f := s.want(path, back); f.Stale != "" {
				t.Errorf("%s: stale: %s", name, f.Stale)
			}
			if was, ok := s.Rejected(s.dir()); ok {
				t.Errorf("%s: rejected %+v after it was accepted", name, was)
			}
			if g, ok := s.catalog.Generation(s.dir(), digest.Digest{}); !ok || g.ID != digest.Of(back) {
				t.Errorf("%s: in force: %+v", name, g)
			}
			if name != "older" {
				continue
			}
			older := attack{"", func(text string) string { return dated(text, time.Now().Add(-90*time.Hour)) }, sameKey}
			s.mirror.ClearFaults()
			s.strike(-1, older.files(s.rig, present), []aptest.Fault{aptest.NoValidators()})
			s.want(path, back)
		}
	}
}

// A Release that is past its Valid-Until is served, for apt to refuse, and an event
// says so.
func TestExpiredReleaseIsReported(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{ValidFor: 30 * time.Minute}, noTTL)
	var log strings.Builder
	r.logTo(&log)
	head, _, err := r.read(inRelease)
	must(t, err)
	r.want(inRelease, head)
	if n := strings.Count(log.String(), "level=WARN msg=\"Release has expired"); n != 2 {
		t.Errorf("%d events, want one for each check:\n%s", n, log.String())
	}
}

// logTo opens a Fetcher that logs to w.
func (r *rig) logTo(w io.Writer) {
	r.t.Helper()
	r.options.Log = slog.New(slog.NewTextHandler(w, nil))
	r.reopen()
}
