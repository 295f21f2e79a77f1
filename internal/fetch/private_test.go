package fetch

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// An unknown file is gated like the others, and what comes with a login is kept
// apart from what comes without one.
func TestPrivateUnknownFiles(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t, noTTL)
	const path = "doc/notes.txt"
	private, public := []byte("for customers"), []byte("please buy")
	l := r.at(path)
	r.mirror.Put(l.Path, private, time.Now().Add(-time.Hour))
	for _, login := range []mirror.Login{alice, bob} {
		if got, err := r.as(login, l); err != nil || !bytes.Equal(got, private) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := r.bodies(); n != int64(len(private)) {
		t.Errorf("the mirror sent %d bytes", n)
	}
	for name, login := range noLogins {
		r.refused(name, login, l, 401)
	}
	r.locked.Release()
	r.mirror.Put(l.Path, public, time.Now())
	if got, err := r.as("", l); err != nil || !bytes.Equal(got, public) {
		t.Errorf("%q, %v", got, err)
	}
	r.mirror.Down()
	for login, want := range map[mirror.Login][]byte{alice: private, bob: private, "": public} {
		if got, err := r.as(login, l); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the mirror away: %q, %v; want %q", got, err, want)
		}
	}
	if got, err := r.as(mallory, l); err == nil {
		t.Errorf("the mirror away, a wrong login: %q", got)
	}
}

// The answer to one login is no record for another, and the signature of a
// generation that a neighbour at the same address was given is not for a client
// without a login.
func TestPrivateReleasePairs(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoInRelease: true})
	r.mirror.Inject("/debian/*", aptest.Login(string(alice), string(bob)))
	const release, signature = "dists/stable/Release", "dists/stable/Release.gpg"
	for name, login := range noLogins {
		r.refused(name, login, r.at(inRelease), 401)
		r.refused(name, login, r.at(release), 401)
	}
	for _, login := range []mirror.Login{alice, bob} {
		for _, path := range []string{release, signature} {
			if _, err := r.as(login, r.at(path)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	g, ok := r.catalog.Generation(r.at("dists/stable"), digest.Digest{})
	if !ok || !g.Signed || !g.Private {
		t.Fatalf("%+v", g)
	}
	f, err := r.get(t.Context(), signature, g.ID)
	var status *mirror.StatusError
	if !errors.As(err, &status) {
		t.Errorf("without a login: %+v, %v", f, err)
	}
	for name, login := range noLogins {
		r.refused(name, login, r.at(release), 401)
	}
}

// Nobody waits for the check of another login.
func TestLoginsShareNoCheck(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t, noTTL)
	held := r.mirror.InjectTimes(1, "*/InRelease", aptest.Hold())
	got := make(chan error, 1)
	go func() {
		_, err := r.as(alice, r.at(inRelease))
		got <- err
	}()
	must(t, held.Await(t.Context(), 1))
	for name, login := range noLogins {
		r.refused(name, login, r.at(inRelease), 401)
	}
	if _, err := r.as(bob, r.at(inRelease)); err != nil {
		t.Errorf("bob: %v", err)
	}
	held.Release()
	must(t, <-got)
}

// Where only the pool wants a login, and the box has it, what the public indices
// list is not fetched for peers with it.
func TestLoginForThePool(t *testing.T) {
	t.Parallel()
	r := newArchiveRig(t, aptest.Suite{}, nil)
	r.unshared()
	r.mirror.Inject("*/pool/*", aptest.Login(string(alice)))
	logins, err := mirror.ParseLogins("machine " + r.mirror.URL("/debian/pool") + " login alice password correct-horse")
	must(t, err)
	o := r.metered(time.Minute)
	o.Logins = logins
	must(t, r.Fetcher.Close())
	r.options.Mirror = r.box.NewMirror(o)
	r.reopen()
	r.update()
	d := digest.Of(r.files["small"].Data)
	for range 2 { // not held, then held
		for _, start := range []peer.Fetch{peer.NoFetch, peer.FetchAnywhere} {
			if _, err := r.Open(t.Context(), member, d, peer.Request{Fetch: start}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a peer: %v", err)
			}
		}
		r.want(r.packageAt("small"), r.files["small"].Data)
	}
	if i, err := r.store.Stat(d); err != nil || len(i.Private) != 1 {
		t.Errorf("%+v, %v", i, err)
	}
}

// With a login of the box its clients need none, and the box's peers get
// nothing.
func TestLoginOfTheBox(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t, func(o *Options) {}, noTTL)
	logins, err := mirror.ParseLogins("machine " + r.mirror.URL("/") + " login alice password correct-horse")
	must(t, err)
	must(t, r.Fetcher.Close())
	o := r.metered(time.Minute)
	o.Logins = logins
	r.options.Mirror = r.box.NewMirror(o)
	r.reopen()
	r.timeouts = patientTimeouts
	for _, path := range []string{inRelease, packages, r.packageAt("small"), r.packageAt("large")} {
		if _, err := r.as("", r.at(path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n := r.mirror.Requests("*/pool/*"); n != 0 {
		t.Errorf("%d requests for held packages", n)
	}
	must(t, r.store.Remove(r.digest("small")))
	must(t, r.Keep(t.Context(), r.catalog.Resolve(t.Context(), r.at(r.packageAt("small")), nil)))
	for name := range r.files {
		if i, err := r.store.Stat(r.digest(name)); err != nil || len(i.Private) != 1 {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
		if got, err := r.download(member, r.digest(name), peer.FetchAnywhere); err == nil {
			t.Errorf("%s: a peer gets %d bytes", name, len(got))
		}
	}
	if len(r.asked) > 0 {
		t.Errorf("peers were asked for %v", r.asked)
	}
	must(t, r.Refresh(t.Context(), r.at("dists/stable")))
	r.mirror.Down()
	for _, path := range []string{inRelease, r.packageAt("large")} {
		if _, err := r.as("", r.at(path)); err != nil {
			t.Errorf("the mirror away: %s: %v", path, err)
		}
	}
}

// A login of the box opens what the mirror gives for it, not what clients have
// fetched with their own.
func TestLoginOfTheBoxOpensWhatItMay(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	const notes = "doc/notes.txt"
	r.mirror.Put(r.at(notes).Path, []byte("for customers"), time.Now().Add(-time.Hour))
	if _, err := r.as(alice, r.at(notes)); err != nil {
		t.Fatal(err)
	}
	logins, err := mirror.ParseLogins("machine " + r.mirror.URL("/") + " login mallory password guesswork")
	must(t, err)
	must(t, r.Fetcher.Close())
	o := r.metered(time.Minute)
	o.Logins = logins
	r.options.Mirror = r.box.NewMirror(o)
	r.reopen()
	paths := []string{inRelease, packages, r.packageAt("small"), r.packageAt("large"), notes}
	for _, path := range paths {
		r.refused("a wrong login of the box", "", r.at(path), 401)
		if _, err := r.as(alice, r.at(path)); err != nil {
			t.Errorf("%s: alice: %v", path, err)
		}
	}
	r.mirror.Down()
	for _, path := range paths {
		if got, err := r.as("", r.at(path)); err == nil {
			t.Errorf("the mirror away: %s: %d bytes", path, len(got))
		}
		if _, err := r.as(alice, r.at(path)); err != nil {
			t.Errorf("the mirror away: %s: alice: %v", path, err)
		}
	}
}

// What a client has sent ahead is fetched with its login.
func TestAnticipateWithALogin(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t, noTTL)
	must(t, r.store.Remove(r.digest("large")))
	for _, path := range []string{inRelease, r.packageAt("large")} {
		r.Anticipate(Request{Entry: r.catalog.Resolve(t.Context(), r.at(path), nil), Login: bob})
	}
	r.quiet()
	for _, q := range r.mirror.Log() {
		if q.Authorization != string(bob) {
			t.Errorf("%s with %q", q.Path, q.Authorization)
		}
	}
	if !r.held(r.digest("large")) {
		t.Error("not fetched")
	}
}

// No login is logged, kept or part of an error.
func TestLoginsAreShownNowhere(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: &logged}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := newPrivateRig(t, func(o *Options) { o.Log = log }, noTTL)
	var errs []error
	for _, path := range []string{inRelease, packages, r.packageAt("small"), "doc/none"} {
		for _, login := range []mirror.Login{bob, mallory} {
			_, err := r.as(login, r.at(path))
			errs = append(errs, err)
		}
	}
	r.mirror.Down()
	for _, path := range []string{inRelease, r.packageAt("large")} {
		_, err := r.as(mallory, r.at(path))
		errs = append(errs, err)
	}
	must(t, r.Fetcher.Close())
	all := logged.String() + fmt.Sprintf("%v %+v", errs, errs)
	for _, name := range []string{"names", "store", "catalog"} {
		must(t, r.box.DB.Table(name).Scan(nil, nil, func(key, value []byte) bool {
			all += string(key) + string(value)
			return true
		}))
	}
	for _, login := range []mirror.Login{alice, bob, mallory} {
		_, encoded, _ := strings.Cut(string(login), " ")
		plain, err := base64.StdEncoding.DecodeString(encoded)
		must(t, err)
		_, password, _ := strings.Cut(string(plain), ":")
		if strings.Contains(all, encoded) || strings.Contains(all, password) {
			t.Errorf("%s's login is shown", plain)
		}
	}
}

// lockedWriter is written by several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
