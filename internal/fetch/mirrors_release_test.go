package fetch

import (
	"bytes"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// forms are the two in which a suite is published, by the file that decides.
var forms = map[string]aptest.Suite{inRelease: {}, "dists/stable/Release": {NoInRelease: true}}

// generations are two of the archive, an hour apart.
func (s *several) generations() (older, newer *aptest.Generation) {
	older = s.archive.Publish(time.Now().Add(-2 * time.Hour))
	s.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	return older, s.archive.Publish(time.Now().Add(-time.Hour))
}

// suite reads a suite's Release file and its index as a client does.
func (s *several) suite(path string, g *aptest.Generation) *File {
	s.t.Helper()
	f := s.want(path, g.File(path))
	got, err := s.get(s.t.Context(), packages, f.Release)
	must(s.t, err)
	defer got.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(got.Body)
	must(s.t, err)
	if !bytes.Equal(b.Bytes(), g.File(packages)) {
		s.t.Errorf("%s: the index is another one", path)
	}
	return f
}

// A Release file comes from another mirror if the first one does not give it
// whole.
func TestReleaseComesFromAnotherMirror(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		for name, fault := range map[string]aptest.Fault{
			"cut": aptest.Truncate(100), "dropped": aptest.Drop(), "missing": aptest.Status(404), "failing": aptest.Status(500),
			"a page": aptest.OtherBody([]byte("<html>Log in")),
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newSeveral(t, suite, noTTL)
				_, g := s.generations()
				for _, m := range s.all {
					m.Publish("/debian", g)
				}
				s.all[0].Inject("*Release", fault)
				if f := s.suite(path, g); f.Stale != "" {
					t.Errorf("stale: %s", f.Stale)
				}
				if got := s.requests("*" + path); got[1] != 1 || got[2] != 0 {
					t.Errorf("%d requests", got)
				}
				if got := s.requests("*by-hash*"); got[0] != 0 || got[1] != 1 {
					t.Errorf("%d requests for the index, want them where the Release came from", got)
				}
			})
		}
	}
}

// A mirror that lags behind does not set the box back: another one is asked, and
// what is held is served if all do.
func TestLaggingMirror(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		for _, etags := range []bool{true, false} {
			s := newSeveral(t, suite, noTTL)
			older, newer := s.generations()
			s.all[0].Publish("/debian", older)
			for _, m := range s.all[1:] {
				m.Publish("/debian", newer)
			}
			if !etags {
				for _, m := range s.all {
					m.Inject("*", aptest.NoETag())
				}
			}
			s.suite(path, older) // a box that has nothing has no other to compare it with
			s.all[0].InjectTimes(1, "*"+path, aptest.Status(404))
			s.suite(path, newer)
			s.forget()
			for range 3 {
				if f := s.suite(path, newer); f.Stale != "" {
					t.Errorf("stale: %s", f.Stale)
				}
			}
			if got := s.requests("*" + path); got[1] != 3 || got[2] != 0 {
				t.Errorf("%s, ETags %v: %d requests", path, etags, got)
			}
			for _, m := range s.all {
				m.Publish("/debian", older)
			}
			if f := s.suite(path, newer); f.Stale == "" {
				t.Error("all lag, and nobody is told")
			}
			_, next := s.generations()
			s.all[2].Publish("/debian", next)
			if f := s.suite(path, next); f.Stale != "" {
				t.Errorf("stale: %s", f.Stale)
			}
		}
	}
}

// A mirror that is not updated any more does not keep an expired Release in force,
// however fast it is; where no other one has a better, it is as with one mirror.
func TestExpiredReleaseOfOneMirror(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		for _, held := range []bool{false, true} {
			suite.ValidFor = 30 * time.Minute
			s := newSeveral(t, suite, noTTL)
			_, older := s.generations()
			s.archive.Add(aptest.Package{Name: "newer", Version: "1", Size: 10})
			newer := s.archive.Publish(time.Now())
			for _, m := range s.all {
				m.Publish("/debian", older)
			}
			if held {
				s.suite(path, older)
			}
			s.all[1].Down()
			s.want(path, older.File(path))
			s.all[2].Publish("/debian", newer)
			s.forget()
			for range 2 {
				if f := s.suite(path, newer); f.Stale != "" {
					t.Errorf("%s, held %v: stale: %s", path, held, f.Stale)
				}
			}
		}
	}
}

// An index comes from another mirror if the first one does not have the Release's
// version of it, and then a new Release counts.
func TestIndexOfALaggingMirror(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"by hash": {}, "by name": {NoByHash: true}} {
		s := newSeveral(t, suite, noTTL)
		older, newer := s.generations()
		for _, m := range s.all {
			m.Publish("/debian", older)
		}
		s.suite(inRelease, older)
		for _, m := range s.all {
			m.Publish("/debian", newer)
		}
		s.all[0].Inject("*by-hash*", aptest.Status(404))
		s.all[0].Put("/debian/"+packages, older.File(packages), time.Now().Add(-2*time.Hour))
		s.all[1].Inject("*Packages*", aptest.Status(404))
		if f := s.suite(inRelease, newer); f.Stale != "" {
			t.Errorf("%s: stale: %s", name, f.Stale)
		}
	}
}

// A new Release of which no mirror has the indices does not give way to the one
// that another mirror still has.
func TestIncompleteReleaseOfSeveralMirrors(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{}, noTTL)
	older, newer := s.generations()
	for _, m := range s.all {
		m.Publish("/debian", older)
	}
	for _, m := range s.all[1:] { // else they may seem to be faster, on a busy machine, and be asked first
		m.Inject("*/InRelease", aptest.Delay(200*time.Millisecond))
	}
	s.suite(inRelease, older)
	s.all[0].Put("/debian/"+inRelease, newer.File(inRelease), time.Now())
	for range 2 {
		if f := s.suite(inRelease, older); f.Stale == "" {
			t.Error("nobody is told of the newer one")
		}
	}
	s.predate("Pending", time.Hour)
	s.want(inRelease, newer.File(inRelease))
}

// A Release without a good signature does not come before one that has one,
// whether the box holds that or not.
func TestForgedReleaseOfOneMirror(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		for _, held := range []bool{false, true} {
			s := newSeveral(t, suite, noTTL)
			before, g := s.generations()
			for _, m := range s.all {
				m.Publish("/debian", g)
			}
			if held {
				s.suite(path, g)
			}
			s.archive.SignWith(aptest.NewKey("forger"))
			s.archive.Add(aptest.Package{Name: "forged", Version: "1", Size: 10})
			s.all[0].Publish("/debian", s.archive.Publish(time.Now()))
			for range 2 {
				if f := s.suite(path, g); f.Stale != "" {
					t.Errorf("%s: stale: %s", path, f.Stale)
				}
			}
			s.all[1].Publish("/debian", before)
			s.all[2].Down()
			s.suite(path, g)
			s.predate("Pending", time.Hour)
			s.suite(path, g) // the one that does not lie lags behind
			s.all[1].Down()
			if f := s.suite(path, g); f.Stale == "" {
				t.Errorf("%s: nobody is told", path)
			}
			s.predate("Pending", time.Hour)
			s.suite(path, g) // the others are still away
		}
	}
}

// An archive of which the box has no key is served as with one mirror.
func TestUnsignedArchiveOfSeveralMirrors(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		s := newSeveral(t, suite, noTTL)
		s.archive.SignWith(aptest.NewKey("unknown"))
		older, newer := s.generations()
		for _, m := range s.all {
			m.Publish("/debian", older)
		}
		s.suite(path, older) // all are asked, since one might have it signed
		s.forget()
		want := make([]int, len(s.all))
		want[s.first(path)] = 1
		s.suite(path, older)
		s.wantRequests("*"+path, want...)
		updated := s.all[s.first(path)]
		updated.Publish("/debian", newer)
		s.suite(path, newer)
		s.suite(path, newer)
		updated.Down()
		s.suite(path, newer)
		s.predate("Pending", time.Hour)
		s.want(path, older.File(path)) // all that answer have been set back
	}
}

// Who knows where a Release came from asks there for its indices, unless that
// mirror fails.
func TestIndicesOfAReleaseOfOneMirror(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{}, noTTL)
	_, g := s.generations()
	for _, m := range s.all {
		m.Publish("/debian", g)
	}
	s.all[0].InjectTimes(1, "*InRelease", aptest.Status(404))
	f := s.want(inRelease, g.File(inRelease))
	s.all[1].Down()
	s.forget()
	e, err := s.get(t.Context(), packages, f.Release)
	must(t, err)
	e.Body.Close()
	s.wantRequests("*by-hash*", 1, 0, 0)
}
