package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is the location of a path at a server.
func at(t *testing.T, srv *httptest.Server, path string) catalog.Location {
	t.Helper()
	l, err := catalog.ParseLocation("http", strings.TrimPrefix(srv.URL, "http://"), path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func gate(t *testing.T, o mirror.Options) (*Gate, *kv.Table) {
	t.Helper()
	b := boxtest.New(t, boxtest.Options{Mirror: o})
	table := b.DB.Table("names")
	g := New(t.Context(), b.Mirror, time.Minute, Keeper{table, b.Log}, func(mirror.Request, string, time.Duration) {})
	t.Cleanup(g.Wait)
	return g, table
}

const (
	right = mirror.Login("Basic right")
	wrong = mirror.Login("Basic wrong")
)

// blob is a private blob that was found at the locations.
func blob(found ...catalog.Location) store.Info {
	i := store.Info{Digest: digest.Of([]byte("blob")), Size: 1000, Modified: time.Now().Add(-time.Hour)}
	for _, l := range found {
		i.Private = append(i.Private, place(l))
	}
	return i
}

// A page to log in at, which a mirror sends in place of a 401, is no acceptance:
// neither by its 200 nor because it is older than the file.
func TestLoginPage(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-24 * time.Hour)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/login":
			http.ServeContent(w, r, "", old, strings.NewReader("please log in"))
		case r.Header.Get("Authorization") != string(right):
			http.Redirect(w, r, "/login", http.StatusFound)
		case r.URL.Path == "/ignores-conditions":
			w.Header().Set("Content-Length", "1000")
			w.Write(make([]byte, 1000))
		default:
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", 1000)))
		}
	}))
	defer srv.Close()
	g, _ := gate(t, mirror.Options{})
	for _, path := range []string{"/file.deb", "/ignores-conditions"} {
		l := at(t, srv, path)
		if err := g.Admit(t.Context(), l, wrong, blob(l)); !errors.Is(err, ErrNotHeld) {
			t.Errorf("%s, wrong login: %v", path, err)
		}
		if err := g.Admit(t.Context(), l, right, blob(l)); err != nil {
			t.Errorf("%s, right login: %v", path, err)
		}
	}
	// A blob is held for nobody at a place where it was not found.
	l := at(t, srv, "/file.deb")
	if err := g.Admit(t.Context(), l, right, blob(at(t, srv, "/other.deb"))); !errors.Is(err, ErrNotHeld) {
		t.Errorf("elsewhere: %v", err)
	}
	if err := g.Admit(t.Context(), l, "", blob(l)); !errors.Is(err, ErrNotHeld) {
		t.Errorf("without a login: %v", err)
	}
	if err := g.Admit(t.Context(), l, "", store.Info{}); err != nil {
		t.Errorf("a public blob: %v", err)
	}
}

// However many ask at once, and in advance, the mirror gets one request; a client
// that leaves does not end it for the others.
func TestAskedOnce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	arrived, answer := make(chan struct{}, 10), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		arrived <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusNotModified)
	}))
	defer srv.Close()
	g, _ := gate(t, mirror.Options{})
	l := at(t, srv, "/file.deb")
	g.Anticipate(l, right, blob(l))
	<-arrived
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := g.Admit(left, l, right, blob(l)); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
	admitted := make(chan error)
	for range 5 {
		go func() { admitted <- g.Admit(t.Context(), l, right, blob(l)) }()
	}
	close(answer)
	for range 5 {
		if err := <-admitted; err != nil {
			t.Error(err)
		}
	}
	g.Anticipate(l, right, blob(l))
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// What was accepted counts for one login, file and location, for the TTL and,
// while the mirror is away, for a day; over a restart, and then it is swept.
func TestAccepted(t *testing.T) {
	t.Parallel()
	g, table := gate(t, mirror.Options{})
	l := catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/a.deb"}
	other := catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/b.deb"}
	d, e := digest.Of([]byte("a")), digest.Of([]byte("b"))
	g.Accept(l, right, d)
	for _, tt := range []struct {
		l     catalog.Location
		login mirror.Login
		d     digest.Digest
		want  bool
	}{{l, right, d, true}, {l, wrong, d, false}, {l, "", d, false}, {other, right, d, false}, {l, right, e, false}} {
		if got := g.Accepted(tt.l, tt.login, tt.d); got != tt.want {
			t.Errorf("%s %v: %v", tt.l, tt.d.Short(), got)
		}
	}
	again := New(t.Context(), g.mirror, time.Minute, g.accepted.Keeper, g.answered)
	if !again.Accepted(l, right, d) {
		t.Error("forgotten by a restart")
	}
	for age, want := range map[time.Duration][2]bool{
		59 * time.Second: {true, true}, 2 * time.Minute: {false, true}, 23 * time.Hour: {false, true}, 24 * time.Hour: {false, false},
	} {
		again.accepted.note(l, right, d, acceptance{at: time.Now().Add(-age)})
		if got := [2]bool{again.Accepted(l, right, d), again.AcceptedLately(l, right, d)}; got != want {
			t.Errorf("after %v: %v, want %v", age, got, want)
		}
	}
	// By a clock that was a day ahead.
	again.accepted.note(l, right, d, acceptance{at: time.Now().Add(24 * time.Hour)})
	again = New(t.Context(), g.mirror, time.Minute, g.accepted.Keeper, g.answered)
	if again.Accepted(l, right, d) || again.AcceptedLately(l, right, d) {
		t.Error("accepted in the future: still is")
	}
	again.accepted.note(l, right, d, acceptance{at: time.Now().Add(-25 * time.Hour)})
	if err := again.Sweep(); err != nil {
		t.Fatal(err)
	}
	if n := len(rows(t, table)); n != 0 || len(again.accepted.times) != 0 {
		t.Errorf("%d rows are left after a day", n)
	}
}

// A mirror that is away counts as accepting a login for the other files of the
// same area of an archive.
func TestAreas(t *testing.T) {
	t.Parallel()
	g, _ := gate(t, mirror.Options{})
	at := func(path string) catalog.Location {
		return catalog.Location{Scheme: "http", Host: "archive.example.org", Path: path}
	}
	d := digest.Of(nil)
	g.Accept(at("/a/pool/main/h/hello.deb"), right, d)
	g.Accept(at("/b/dists/stable/InRelease"), right, d)
	g.Accept(at("/flat/InRelease"), right, d)
	for path, want := range map[string]bool{
		"/a/pool/main/m/more.deb": true, "/a/pool/extra/m/more.deb": false, "/a/dists/stable/InRelease": false,
		"/b/dists/stable/main/binary-amd64/Packages.xz": true, "/b/pool/main/h/hello.deb": false,
		"/flat/hello.deb": false, "/flat/InRelease": true,
	} {
		if got := g.AcceptedLately(at(path), right, d); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
		if g.Accepted(at(path), right, digest.Of([]byte("another"))) || g.AcceptedLately(at(path), wrong, d) {
			t.Errorf("%s: accepted although the mirror can be asked, or for another login", path)
		}
	}
}

// rows are the keys of what is kept of accepted logins.
func rows(t *testing.T, table *kv.Table) (all []string) {
	t.Helper()
	err := table.Scan([]byte(markPrefix), nil, func(key, _ []byte) bool {
		all = append(all, string(key))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is remembered is bounded, in memory and on disk, and a host that has
// more than its share loses its own.
func TestAcceptedIsBounded(t *testing.T) {
	t.Parallel()
	g, table := gate(t, mirror.Options{})
	g.accepted.max = 100
	quiet := catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/a.deb"}
	loud := catalog.Location{Scheme: "http", Host: "hostile.example.org", Path: "/a.deb"}
	d := digest.Of(nil)
	g.Accept(quiet, right, d)
	for i := range 1000 {
		g.Accept(loud, mirror.Login(fmt.Sprint(i)), d)
		if n := len(g.accepted.times); n > 100 {
			t.Fatalf("%d are remembered", n)
		}
	}
	if n := len(rows(t, table)); n > 100 {
		t.Errorf("%d rows", n)
	}
	if !g.Accepted(quiet, right, d) || !g.Accepted(loud, "999", d) {
		t.Error("another host's was forgotten, or the last one")
	}
}

// Nothing on disk has the login in it.
func TestNoLoginOnDisk(t *testing.T) {
	t.Parallel()
	g, table := gate(t, mirror.Options{})
	g.Accept(catalog.Location{Scheme: "http", Host: "a", Path: "/b"}, right, digest.Of(nil))
	err := table.Scan(nil, nil, func(key, value []byte) bool {
		if strings.Contains(string(key)+string(value), "right") {
			t.Errorf("%q = %q", key, value)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The box's own login counts for a day while its mirror can be asked, and while
// it cannot, for good; over a restart, too. Another login for its host does not.
func TestAcceptedOfTheBox(t *testing.T) {
	t.Parallel()
	logins, err := mirror.ParseLogins("machine http://archive.example.org login a password b")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := gate(t, mirror.Options{Logins: logins})
	l := catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/a.deb"}
	own, d := g.Login(l, ""), digest.Of(nil)
	g.Accept(l, right, d)
	if g.Accepted(l, own, d) || g.AcceptedLately(l, own, d) {
		t.Error("another's acceptance counts for the box")
	}
	for age, want := range map[time.Duration][2]bool{23 * time.Hour: {true, true}, 1000 * time.Hour: {false, true}} {
		g.Accept(l, own, d)
		at := g.accepted.times[g.accepted.mark(l, own, d)]
		at.at = at.at.Add(-age)
		g.accepted.note(l, own, d, at)
		if err := g.Sweep(); err != nil {
			t.Fatal(err)
		}
		again := New(t.Context(), g.mirror, time.Minute, g.accepted.Keeper, g.answered)
		if got := [2]bool{again.Accepted(l, own, d), again.AcceptedLately(l, own, d)}; got != want {
			t.Errorf("after %v: %v, want %v", age, got, want)
		}
	}
}
