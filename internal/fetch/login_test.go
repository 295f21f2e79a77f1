package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

var (
	alice   = mirror.Login(aptest.BasicLogin("alice", "correct-horse"))
	bob     = mirror.Login(aptest.BasicLogin("bob", "battery-staple"))
	mallory = mirror.Login(aptest.BasicLogin("mallory", "guesswork"))
)

// noLogins are the logins of clients that may have nothing private.
var noLogins = map[string]mirror.Login{"no login": "", "a wrong login": mallory}

// privateRig is a swarmRig whose archive wants a login, alice's or bob's, and
// whose packages and indices alice has fetched.
type privateRig struct {
	*swarmRig
	locked *aptest.Injection
}

const packages = "dists/stable/main/binary-amd64/Packages.xz"

func newPrivateRig(t *testing.T, change ...func(*Options)) *privateRig {
	t.Helper()
	s := newBoxes()
	change = append([]func(*Options){func(o *Options) { o.Swarm = s }}, change...)
	s.widest = peer.Member // not even members get any of it
	r := &privateRig{swarmRig: &swarmRig{newArchiveRig(t, aptest.Suite{}, nil), s, make(map[string]digest.Digest)}}
	r.unshared(change...)
	for name, file := range r.files {
		r.digests[name] = digest.Of(file.Data)
	}
	r.timeouts = patientTimeouts
	r.locked = r.mirror.Inject("/debian/*", aptest.Login(string(alice), string(bob)))
	for _, path := range []string{inRelease, packages, r.packageAt("small"), r.packageAt("large")} {
		if _, err := r.as(alice, r.at(path)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	r.quiet()
	r.mirror.ResetLog()
	return r
}

// as gets a file whole with a login.
func (r *rig) as(login mirror.Login, l catalog.Location) ([]byte, error) {
	f, err := r.Get(r.t.Context(), Request{Entry: r.catalog.Resolve(r.t.Context(), l, nil), Login: login})
	if err != nil {
		return nil, err
	}
	defer f.Body.Close()
	return io.ReadAll(f.Body)
}

// refused checks that a client with login is told the mirror's status for l, and
// nothing else, however it asks.
func (r *rig) refused(what string, login mirror.Login, l catalog.Location, status int) {
	r.t.Helper()
	q := Request{Entry: r.catalog.Resolve(r.t.Context(), l, nil), Login: login}
	for name, get := range map[string]func(context.Context, Request) (*File, error){"Get": r.Get, "Peek": r.Peek} {
		f, err := get(r.t.Context(), q)
		var answer *mirror.StatusError
		if !errors.As(err, &answer) || answer.Code != status {
			r.t.Errorf("%s: %s of %s gives %+v, %v; want the mirror's %d", what, name, l, f, err, status)
		}
	}
}

// bodies is what the mirror has sent of files.
func (r *rig) bodies() (n int64) {
	for _, q := range r.mirror.Log() {
		if q.Status == http.StatusOK || q.Status == http.StatusPartialContent {
			n += q.Sent
		}
	}
	return n
}

func TestPrivateBytesAreForThoseWhomTheMirrorAccepts(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	for _, path := range []string{inRelease, packages, r.packageAt("small"), r.packageAt("large")} {
		for name, login := range noLogins {
			r.refused(name, login, r.at(path), 401)
		}
		r.mirror.ResetLog()
		most := int64(1)
		for range 2 {
			got, err := r.as(bob, r.at(path))
			if err != nil || len(got) == 0 {
				t.Errorf("%s: bob gets %d bytes, %v", path, len(got), err)
			}
			if path == inRelease { // the second answer proves the validators of the first
				most = int64(len(got))
			}
		}
		if n := len(r.mirror.Log()); n != 1 || r.bodies() > most {
			t.Errorf("%s: bob costs the mirror %d requests and %d bytes, want one and none", path, n, r.bodies())
		}
		for name, login := range noLogins { // although bob was accepted
			r.refused(name, login, r.at(path), 401)
		}
	}
	for name, file := range r.files {
		i, err := r.store.Stat(r.digest(name))
		if err != nil || len(i.Private) != 1 || len(i.From) != 1 {
			t.Errorf("%s of %d bytes: %+v, %v", name, len(file.Data), i, err)
		}
	}
}

// While the mirror is away, those that it accepted in the last day get what is
// held, over a restart too, and nobody else.
func TestPrivateBytesWhileTheMirrorIsAway(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t, noTTL)
	paths := []string{inRelease, packages, r.packageAt("small")}
	r.mirror.Down()
	r.reopen()
	for _, path := range paths {
		if _, err := r.as(alice, r.at(path)); err != nil {
			t.Errorf("%s: alice: %v", path, err)
		}
		for name, login := range map[string]mirror.Login{"bob": bob, "no login": "", "a wrong login": mallory} {
			if got, err := r.as(login, r.at(path)); err == nil {
				t.Errorf("%s: %s gets %d bytes", path, name, len(got))
			}
		}
	}
}

// hostile is a mirror that lists the rig's packages and accepts every login, and
// has other bytes. Its answers are as long as the files.
func (r *rig) hostile() *aptest.Mirror {
	m := aptest.NewMirror(r.t, aptest.MirrorOptions{Listen: "127.0.0.3:0"})
	m.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
	m.Inject("*/pool/*", aptest.Corrupt(0, large))
	m.Inject("*/by-hash/*", aptest.Corrupt(0, large))
	return m
}

// To list a digest in an archive of one's own opens nothing, with a login that
// its mirror accepts or without one.
func TestListingADigestOpensNothing(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	m := r.hostile()
	for _, login := range []mirror.Login{"", mallory, alice} {
		for _, path := range []string{inRelease, packages} {
			if _, err := r.as(login, location(t, m, path)); err != nil {
				t.Fatal(err)
			}
		}
		for name, file := range r.files {
			byHash := location(t, m, "dists/stable/main/by-hash/SHA256/"+r.digest(name).String())
			m.Put(byHash.Path, file.Data, time.Now()) // corrupted on the way
			for _, l := range []catalog.Location{location(t, m, file.Path), byHash} {
				q := Request{Entry: r.catalog.Resolve(t.Context(), l, nil), Login: login}
				if q.Digest != r.digest(name) {
					t.Fatalf("%s is %+v", l, q.Entry)
				}
				f, err := r.Get(t.Context(), q)
				if err != nil {
					continue
				}
				got, err := io.ReadAll(f.Body)
				f.Body.Close()
				if err == nil || len(got) > 0 && bytes.HasPrefix(file.Data, got) {
					t.Errorf("with %v, %s gives %d bytes, %v", login, l, len(got), err)
				}
				// What a HEAD tells is the hostile mirror's word.
				if f, err := r.Peek(t.Context(), q); err == nil && f.Body != (noBody{}) && q.Size >= 0 {
					t.Errorf("with %v, HEAD of %s finds %+v", login, l, f)
				}
			}
		}
	}
	if _, err := r.as(alice, r.at(r.packageAt("small"))); err != nil {
		t.Errorf("alice: %v", err)
	}
	for name := range r.files {
		if i, err := r.store.Stat(r.digest(name)); err != nil || len(i.Private) != 1 {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
}

// Nothing of it is told to peers, nor are they asked, though a shared archive
// lists the same digests.
func TestPrivateBytesAreNotForPeers(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	check := func(what string) {
		t.Helper()
		for name := range r.files {
			d := r.digest(name)
			for _, start := range []peer.Fetch{peer.NoFetch, peer.FetchAnywhere} {
				if u, err := r.Open(t.Context(), member, d, peer.Request{Fetch: start}); err == nil {
					if got, err := io.ReadAll(u); err == nil {
						t.Errorf("%s: %s: a peer gets %d bytes", what, name, len(got))
					}
					u.Close()
				}
			}
			r.quiet() // what a peer began
			if _, err := r.Manifest(t.Context(), member, d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: manifest %v", what, name, err)
			}
			if _, _, err := r.Pieces(member, d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: pieces %v", what, name, err)
			}
		}
		next, stop := iter.Pull(r.Watch(t.Context(), peer.Member))
		defer stop()
		if all := listing(t, next); all[r.digest("small")] || all[r.digest("large")] {
			t.Errorf("%s: listed", what)
		}
	}
	check("a private archive")
	r.boxes.mu.Lock()
	if len(r.asked) > 0 || len(r.announced) > 0 {
		t.Errorf("peers were asked for %v and told of %v", r.asked, r.announced)
	}
	r.boxes.mu.Unlock()
	for _, path := range []string{inRelease, packages} {
		if _, err := r.as("", location(t, r.hostile(), path)); err != nil { // signed, without a login
			t.Fatal(err)
		}
	}
	check("listed elsewhere too")
}

// When the bytes come without a login, they are everybody's.
func TestPrivateBytesBecomePublic(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	next, stop := iter.Pull(r.Watch(t.Context(), peer.Member))
	defer stop()
	listing(t, next)
	r.locked.Release()
	for _, path := range []string{inRelease, packages, r.packageAt("small"), r.packageAt("large")} {
		if _, err := r.as("", r.at(path)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	r.quiet()
	for name := range r.files {
		if i, err := r.store.Stat(r.digest(name)); err != nil || len(i.Private) != 0 {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
		if _, err := r.download(member, r.digest(name), peer.NoFetch); err != nil {
			t.Errorf("%s: a peer: %v", name, err)
		}
	}
	shared := make(map[digest.Digest]bool)
	for !shared[r.digest("small")] || !shared[r.digest("large")] {
		e, ok := next()
		if !ok {
			t.Fatal("the inventory ended")
		}
		shared[e.Digest] = e.Held
	}
	r.mirror.ResetLog()
	r.want(r.packageAt("small"), r.files["small"].Data)
	if n := len(r.mirror.Log()); n != 0 {
		t.Errorf("%d requests for what is public now", n)
	}
}

// Nobody joins the download of another login, and no answer to one is another's.
func TestLoginsShareNoFlight(t *testing.T) {
	t.Parallel()
	r := newPrivateRig(t)
	for name := range r.files {
		must(t, r.store.Remove(r.digest(name)))
	}
	held := r.mirror.InjectTimes(1, "*/large_*", aptest.Stall(large/2))
	got := make(chan error, 1)
	go func() {
		data, err := r.as(alice, r.at(r.packageAt("large")))
		if err == nil && !bytes.Equal(data, r.data("large")) {
			err = errors.New("wrong bytes")
		}
		got <- err
	}()
	must(t, held.Await(t.Context(), 1))
	for name, login := range noLogins {
		if _, err := r.as(login, r.at(r.packageAt("large"))); err == nil {
			t.Errorf("%s joined", name)
		}
	}
	if _, err := r.download(member, r.digest("large"), peer.NoFetch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a peer: %v", err)
	}
	if data, err := r.as(bob, r.at(r.packageAt("large"))); err != nil || !bytes.Equal(data, r.data("large")) {
		t.Errorf("bob: %d bytes, %v", len(data), err)
	}
	held.Release()
	must(t, <-got)
}

// However many logins want a file at once, the disk takes a few copies of it,
// and all get it.
func TestManyLogins(t *testing.T) {
	t.Parallel()
	const clients = maxLogins + 4
	for _, path := range []string{"large", "doc/notes.txt"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{})
			want := bytes.Repeat([]byte("x"), 2*holdback)
			if path == "large" {
				r.update()
				path, want = r.packageAt("large"), r.files["large"].Data
			} else {
				r.mirror.Put(r.at(path).Path, want, time.Now())
			}
			held := r.mirror.Inject(r.at(path).Path, aptest.Stall(1))
			got := make(chan error, clients)
			for i := range clients {
				go func() {
					data, err := r.as(mirror.Login(fmt.Sprint("Bearer ", i)), r.at(path))
					if err == nil && !bytes.Equal(data, want) {
						err = errors.New("wrong bytes")
					}
					got <- err
				}()
			}
			must(t, held.Await(t.Context(), clients))
			held.Release()
			for range clients {
				if err := <-got; err != nil {
					t.Error(err)
				}
			}
			if n := r.Stats().Diverted; n != clients-maxLogins {
				t.Errorf("%d of %d downloads are not kept", n, clients)
			}
		})
	}
}
