package fetch

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// redirected is a box whose mirror sends requests to others: one has the next
// generation, one that is behind has the first, which clients have.
func redirected(t *testing.T) (r *rig, ahead, behind *aptest.Mirror) {
	r = newRig(t, aptest.Suite{NoByHash: true}, noTTL)
	behind = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.3:0"})
	ahead = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	first := r.archive.Publish(time.Now().Add(-time.Hour))
	behind.Publish("/debian", first)
	r.mirror.Publish("/debian", first)
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	next := r.archive.Publish(time.Now().Add(-time.Hour))
	ahead.Publish("/debian", next)
	return r, ahead, behind
}

// The indices of a Release are requested from where a redirector led to for it.
func TestIndicesComeFromWhereTheirReleaseCame(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		r, ahead, behind := redirected(t)
		var first []byte
		if held { // clients have the first generation
			first, _ = r.fits(inRelease)
		}
		r.mirror.Inject("*InRelease", aptest.Redirect(ahead.URL("/")+"*"))
		r.mirror.Inject("*Packages*", aptest.Redirect(behind.URL("/")+"*"))
		for range 2 {
			release, f := r.fits(inRelease)
			if f.Stale != "" || bytes.Equal(release, first) {
				t.Errorf("held %v: held back: %s", held, f.Stale)
			}
		}
		_, _, err := r.read("dists/stable/main/binary-amd64/Packages.gz")
		must(t, err)
		if n := behind.Requests("*Packages*"); n != 0 {
			t.Errorf("held %v: the mirror that is behind was asked %d times", held, n)
		}
	}
}

// If that mirror is away, the redirector is asked.
func TestIndicesWhoseMirrorIsAway(t *testing.T) {
	t.Parallel()
	r, ahead, _ := redirected(t)
	r.mirror.Inject("*InRelease", aptest.Redirect(ahead.URL("/")+"*"))
	_, f, err := r.read(inRelease)
	must(t, err)
	again := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.4:0"})
	again.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
	ahead.Down()
	r.mirror.Inject("*Packages*", aptest.Redirect(again.URL("/")+"*"))
	e, err := r.get(t.Context(), packages, f.Release)
	must(t, err)
	e.Body.Close()
}

// One wrong answer of many mirrors behind a redirector does not fail a file.
func TestRedirectorIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]aptest.Fault{
		"size": aptest.Shorter(1), "bytes": aptest.Corrupt(10, 1), "status": aptest.Status(404), "range": aptest.Raw("HTTP/1.1 206 P\r\nContent-Range: bytes 3-5/9\r\nContent-Length: 3\r\n\r\nabc"),
	} {
		r, ahead, behind := redirected(t)
		_, f, err := r.read(inRelease)
		must(t, err)
		behind.Inject("*Packages*", wrong)
		ahead.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
		r.mirror.InjectTimes(2, "*Packages*", aptest.Redirect(behind.URL("/")+"*"))
		e, err := r.get(t.Context(), packages, f.Release)
		if err != nil {
			t.Errorf("wrong %s: %v", name, err)
			continue
		}
		e.Body.Close()
	}
}

// A loop is the same loop the next time.
func TestRedirectLoopIsAskedForOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoByHash: true}, noTTL)
	_, f, err := r.read(inRelease)
	must(t, err)
	r.mirror.Inject("*Packages*", aptest.Redirect(r.mirror.URL("/")+"*"))
	var broken *mirror.AnswerError
	if _, err := r.get(t.Context(), packages, f.Release); !errors.As(err, &broken) {
		t.Errorf("got %v, want a broken answer", err)
	}
	if n := r.mirror.Requests("*/binary-amd64/*"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A mirror that has no time is asked for one name of a file, not for all.
func TestBusyMirrorIsAskedForOneName(t *testing.T) {
	t.Parallel()
	for code, fault := range map[int]aptest.Fault{429: aptest.Status(429), 503: aptest.Status(503), 0: aptest.Drop()} {
		r := newRig(t, aptest.Suite{}, noTTL)
		_, f, err := r.read(inRelease)
		must(t, err)
		r.mirror.Inject("*/binary-*", fault)
		var status *mirror.StatusError
		var away *mirror.UnreachableError
		_, err = r.get(t.Context(), packages, f.Release)
		if code != 0 && (!errors.As(err, &status) || status.Code != code) || code == 0 && !errors.As(err, &away) {
			t.Errorf("got %v, want the mirror's %d", err, code)
		}
		// The first request, which net/http sends again on a new connection, and two tries more.
		if n := r.mirror.Requests("*/binary-*"); n > 4 {
			t.Errorf("%d: %d requests, want 4 at most", code, n)
		}
	}
}

// Another name at the same host would take as long: it is no reason to hurry.
func TestHasten(t *testing.T) {
	t.Parallel()
	at := func(host, path string) mirrorSource {
		return mirrorSource{Location: catalog.Location{Scheme: "http", Host: host, Path: path}}
	}
	d := &download{}
	one, name, other := at("a", "/x"), at("a", "/y"), at("b", "/x")
	for _, tt := range []struct {
		all  []mirrorSource
		nth  int
		want time.Duration
	}{
		{[]mirrorSource{one}, 0, 0}, {[]mirrorSource{one, name}, 0, 0},
		{[]mirrorSource{one, other}, 0, mirror.Patience}, {[]mirrorSource{one, other}, 1, 0},
	} {
		if got := d.hasten(one, candidates{mirrors: tt.all}, tt.nth).(mirrorSource).request.Patience; got != tt.want {
			t.Errorf("patience %v with %d places in round %d, want %v", got, len(tt.all), tt.nth, tt.want)
		}
	}
}

// A mirror whose redirect leads to a host that does not answer has answered itself,
// whatever the names of both begin with.
func TestBusyMirror(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"a.example:80": true, "a.example:8080": true, "a.example.org:80": false, "b.example:80": false} {
		m := mirrorSource{Location: catalog.Location{Scheme: "http", Host: "a.example", Path: "/x"}}
		if host == "a.example:8080" {
			m.Host = host
		}
		if got := m.busy(&mirror.UnreachableError{Host: host, Err: errors.New("refused")}); got != want {
			t.Errorf("%s: busy %v, want %v", host, got, want)
		}
	}
}
