package fetch

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// several is a box whose archive has two mirrors besides the rig's own, which
// comes first. Each has a generation of its own.
type several struct {
	*rig
	all []*aptest.Mirror
}

func newSeveral(t *testing.T, suite aptest.Suite, change ...func(*Options)) *several {
	t.Helper()
	r := newRig(t, suite, change...)
	s := &several{r, []*aptest.Mirror{r.mirror}}
	for _, listen := range []string{"127.0.0.2:0", "127.0.0.3:0"} {
		s.all = append(s.all, aptest.NewMirror(t, aptest.MirrorOptions{Listen: listen}))
	}
	s.publish()
	s.connect("")
	return s
}

// connect opens a Fetcher that knows the mirrors, and has these logins.
func (s *several) connect(logins string) {
	s.t.Helper()
	var urls []string
	for _, m := range s.all {
		urls = append(urls, m.URL("/debian"))
	}
	o := s.metered(time.Minute)
	o.DownFor = time.Minute
	var err error
	o.Mirrors, err = mirror.ParseMirrors([]string{urls[0] + "=" + strings.Join(urls, "|")})
	must(s.t, err)
	o.Logins, err = mirror.ParseLogins(logins)
	must(s.t, err)
	s.options.Mirror = s.box.NewMirror(o)
	s.reopen()
}

// publish makes the next generation current at all mirrors.
func (s *several) publish() {
	g := s.archive.Publish(time.Now().Add(-time.Hour))
	for _, m := range s.all {
		m.Publish("/debian", g)
	}
}

// forget clears the mirrors' logs.
func (s *several) forget() {
	for _, m := range s.all {
		m.ResetLog()
	}
}

// requests counts the requests for paths that match, by mirror.
func (s *several) requests(pattern string) (all []int) {
	for _, m := range s.all {
		all = append(all, m.Requests(pattern))
	}
	return all
}

// wantRequests fails the test unless the mirrors got as many requests.
func (s *several) wantRequests(pattern string, want ...int) {
	s.t.Helper()
	if got := s.requests(pattern); !slices.Equal(got, want) {
		s.t.Errorf("%s: %d requests, want %d", pattern, got, want)
	}
}

// first returns the mirror that is asked first for the suite's Release file at path:
// of those that have answered, the fastest, which may be any.
func (s *several) first(path string) int {
	s.t.Helper()
	at := s.Fetcher.mirror.Mirrors(mirror.Request{URL: s.at(path).URL()}, -1, "")[0]
	i := slices.IndexFunc(s.all, func(m *aptest.Mirror) bool { return m.URL("/debian") == at })
	if i < 0 {
		s.t.Fatalf("%s is none of the mirrors", at)
	}
	return i
}

// A package comes whole, and a byte of it only once, whatever becomes of the first
// mirror meanwhile.
func TestContentGoesOnAtAnotherMirror(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string][]aptest.Fault{
		"before the file":     {aptest.Drop()},
		"in the middle":       {aptest.Truncate(large / 2)},
		"with an error":       {aptest.Status(500)},
		"without the file":    {aptest.Status(404)},
		"with a page instead": {aptest.OtherBody([]byte("<html>Log in"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSeveral(t, aptest.Suite{})
			s.update()
			s.forget()
			s.all[0].Inject("*/large_*", fault...)
			taken := s.taken.Load()
			s.all[2].Inject("*/large_*", aptest.Status(404))
			f := s.want(s.packageAt("large"), s.files["large"].Data)
			if got, size := s.taken.Load()-taken, int64(len(s.files["large"].Data)); got < size || got > size+200 {
				t.Errorf("%d bytes taken for %d", got, size)
			}
			log := s.all[1].Log()
			switch {
			case len(log) != 1:
				t.Errorf("the second mirror got %d requests", len(log))
			case name == "in the middle" && log[0].Range == "":
				t.Error("the second mirror was asked for all of it")
			}
			info, err := s.store.Stat(f.Digest)
			must(t, err)
			if want := map[bool]int{true: 2, false: 1}[name == "in the middle"]; len(info.From) != want || !strings.HasPrefix(info.From[want-1].Name, "127.0.0.2:") {
				t.Errorf("kept as from %v", info.From)
			}
		})
	}
}

// A mirror that failed once is asked again if the others do not have the file.
func TestMirrorThatFailedOnceIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string][]aptest.Fault{
		"dropped": {aptest.Drop(), aptest.CloseAfterEach()}, "unavailable": {aptest.Status(503)}, "cut": {aptest.Truncate(large / 2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSeveral(t, aptest.Suite{})
			s.update()
			s.all[0].InjectTimes(1, "*/large_*", fault...)
			for _, m := range s.all[1:] {
				m.Inject("*/large_*", aptest.Status(404))
			}
			s.want(s.packageAt("large"), s.files["large"].Data)
		})
	}
}

// A mirror whose bytes are wrong is named, and not asked again for a while.
func TestLyingMirrorOfSeveral(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{})
	s.update()
	s.forget()
	s.all[0].Inject("*.deb", aptest.Corrupt(100, 4))
	if _, _, err := s.read(s.packageAt("large")); err != nil && !errors.Is(err, ErrWrongBytes) { // it may have had some of them
		t.Errorf("got %v", err)
	}
	s.want(s.packageAt("large"), s.files["large"].Data)
	if h := s.Fetcher.mirror.Health()[0]; !strings.Contains(h.Down, "digest") {
		t.Errorf("health %+v", h)
	}
	f := s.want(s.packageAt("large"), s.files["large"].Data)
	if f.Body.(StoredBody).Origin() != ledger.FromStore {
		t.Error("not held")
	}
	s.wantRequests("*.deb", 1, 1, 0)
}

// A file without a digest goes on under the same ETag at the same mirror, and is
// compared at another one: that may have the ETag for other bytes.
func TestUnknownFileGoesOnAtAnotherMirror(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("unknown "), small/8)
	other := bytes.Repeat([]byte("another "), small/8)
	for _, how := range []struct {
		name     string
		away     bool   // the first mirror
		there    []byte // at the others
		taken    int64
		requests []int
	}{
		{"the same mirror", false, other, small, []int{2, 0, 0}},
		{"the same bytes", true, data, small + small/2, []int{2, 1, 0}},
		{"other bytes", true, other, 2 * small, []int{2, 2, 0}},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			s := newSeveral(t, aptest.Suite{})
			when := time.Now().Add(-time.Hour) // and so the same ETag
			for i, m := range s.all {
				m.Put("/debian/pool/main/u/un/un_1_all.deb", [][]byte{data, how.there, how.there}[i], when)
			}
			if how.away {
				s.all[0].Inject("*.deb", aptest.InTurn(aptest.Truncate(small/2), aptest.Drop()))
			} else {
				s.all[0].InjectTimes(1, "*.deb", aptest.Truncate(small/2))
			}
			want := data
			if how.away {
				want = how.there
			}
			s.want("pool/main/u/un/un_1_all.deb", want)
			if got := s.taken.Load(); got != how.taken {
				t.Errorf("%d bytes taken, want %d", got, how.taken)
			}
			s.wantRequests("*.deb", how.requests...)
		})
	}
}

// Who asks about a file that one mirror says is not there is told so, whatever the
// others do.
func TestQuestionAboutWhatNoMirrorHas(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{})
	s.update()
	for _, path := range []string{s.packageAt("large"), "some/README.deb"} {
		s.all[0].Inject("/debian/"+path, aptest.Status(404))
		s.all[1].Inject("/debian/"+path, aptest.Drop())
		s.all[2].Inject("/debian/"+path, aptest.Drop())
		e := s.catalog.Resolve(t.Context(), s.at(path), nil)
		var status *mirror.StatusError
		if f, err := s.Peek(t.Context(), Request{Entry: e}); !errors.As(err, &status) || status.Code != 404 {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
}

// A full disk, and questions about files, have the other mirrors too.
func TestMirrorsOfWhatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{})
	s.update()
	for _, m := range s.all {
		m.Put("/debian/some/README.deb", []byte("read me"), time.Now().Add(-time.Hour))
	}
	for _, path := range []string{s.packageAt("large"), "some/README.deb"} {
		s.all[0].InjectTimes(1, "/debian/"+path, aptest.Status(403))
		e := s.catalog.Resolve(t.Context(), s.at(path), nil)
		f, err := s.Peek(t.Context(), Request{Entry: e})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		f.Body.Close()
	}
	s.forget()
	s.disk.Full(true)
	s.all[0].Inject("*", aptest.Truncate(large/2))
	s.all[2].Inject("*", aptest.Drop())
	s.want(s.packageAt("large"), s.files["large"].Data)
	s.all[0].Inject("*", aptest.Drop())
	s.want("some/README.deb", []byte("read me"))
}

// What the box fetches for itself comes from another mirror, too.
func TestMirrorsOfWhatNoClientWaitsFor(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{}, noTTL)
	s.all[0].Down()
	must(t, s.Refresh(t.Context(), s.dir()))
	for _, path := range []string{packages, s.packageAt("large")} {
		must(t, s.Keep(t.Context(), s.catalog.Resolve(t.Context(), s.at(path), nil)))
	}
	if !s.held(digest.Of(s.files["large"].Data)) {
		t.Error("not held")
	}
	small := s.catalog.Resolve(t.Context(), s.at(s.packageAt("small")), nil)
	s.Anticipate(Request{Entry: small})
	s.running.Wait()
	if !s.held(small.Digest) {
		t.Error("what was asked for ahead is not held")
	}
}
