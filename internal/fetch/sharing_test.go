package fetch

import (
	"errors"
	"io/fs"
	"iter"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// newUnsharedRig is a rig in a swarm whose widest kind of box is given. Its mirror is
// on loopback, which is a private place. It holds the package small.
func newUnsharedRig(t *testing.T, widest peer.Kind) *swarmRig {
	t.Helper()
	s := newBoxes()
	s.widest = widest
	r := &swarmRig{newArchiveRig(t, aptest.Suite{}, nil), s, make(map[string]digest.Digest)}
	r.unshared(func(o *Options) { o.Swarm = s }, noTTL)
	for name, file := range r.files {
		r.digests[name] = digest.Of(file.Data)
	}
	r.timeouts = patientTimeouts
	r.update()
	r.want(r.packageAt("small"), r.data("small"))
	r.quiet()
	return r
}

// given reports what a box gets of a held package and of one that is not, and
// whether it is told of the held one.
func (r *swarmRig) given(by peer.Asker) (held, fetched, told bool) {
	r.t.Helper()
	_, err := r.download(by, r.digest("small"), peer.NoFetch)
	held = err == nil
	_, bad := r.Manifest(r.t.Context(), by, r.digest("small"))
	if (bad == nil) != held || !held && (!errors.Is(err, fs.ErrNotExist) || !errors.Is(bad, fs.ErrNotExist)) {
		r.t.Errorf("%s: the blob %v, its manifest %v", by.Kind, err, bad)
	}
	_, err = r.download(by, r.digest("large"), peer.FetchAnywhere)
	r.quiet()
	next, stop := iter.Pull(r.Watch(r.t.Context(), by.Kind))
	defer stop()
	return held, err == nil, listing(r.t, next)[r.digest("small")]
}

// Of an archive at a private address, in an open swarm nobody is told or given
// anything, or asked for it; among members it is shared.
func TestPrivateArchiveStaysPrivate(t *testing.T) {
	t.Parallel()
	r := newUnsharedRig(t, peer.Stranger)
	for _, by := range []peer.Asker{stranger, local} {
		if held, fetched, told := r.given(by); held || fetched || told {
			t.Errorf("%s: gets it %v, has it fetched %v, is told of it %v", by.Kind, held, fetched, told)
		}
	}
	stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large/2))
	f, err := r.get(t.Context(), r.packageAt("large"), digest.Digest{})
	must(t, err)
	for _, by := range []peer.Asker{stranger, local} {
		if _, _, err := r.Pieces(by, r.digest("large")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: pieces of what is on its way: %v", by.Kind, err)
		}
		if _, err := r.download(by, r.digest("large"), peer.NoFetch); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: what is on its way: %v", by.Kind, err)
		}
	}
	stall.Release()
	f.Body.Close()
	r.quiet()
	if len(r.asked) > 0 || len(r.announced) > 0 {
		t.Errorf("peers were asked for %v and told of %v", r.asked, r.announced)
	}
	if held, _, told := r.given(member); !held || !told {
		t.Errorf("a member: gets it %v, is told of it %v", held, told)
	}
}

// In a swarm of members private archives are shared as others are.
func TestPrivateArchiveAmongMembers(t *testing.T) {
	t.Parallel()
	r := newUnsharedRig(t, peer.Member)
	if held, fetched, told := r.given(member); !held || !fetched || !told {
		t.Errorf("gets it %v, has it fetched %v, is told of it %v", held, fetched, told)
	}
	if r.asked[r.digest("large")] == 0 || len(r.announcements(r.digest("large"))) == 0 {
		t.Error("peers were not asked or told")
	}
}

// Once the same Release has come from a public place, what it lists is shared.
func TestPrivateArchiveBecomesPublic(t *testing.T) {
	t.Parallel()
	r := newUnsharedRig(t, peer.Stranger)
	dir := r.at("dists/stable")
	g, _ := r.catalog.Generation(dir, digest.Digest{})
	if want := "127.0.0.1 is a loopback address"; g.Reach != (catalog.Reach{Why: want}) {
		t.Errorf("%+v, want %s", g.Reach, want)
	}
	must(t, r.catalog.Reached(dir, g.ID, catalog.Reach{Public: true}))
	if held, _, told := r.given(stranger); !held || !told {
		t.Errorf("public: gets it %v, is told of it %v", held, told)
	}
}

// A setting shares an archive with all boxes, whatever login it takes; clients need
// theirs as before.
func TestSharedByASetting(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]mirror.Login{"at a private address": "", "behind a login": alice} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBoxes()
			r := &swarmRig{newRig(t, aptest.Suite{}, func(o *Options) { o.Swarm = s }), s, make(map[string]digest.Digest)}
			for name, file := range r.files {
				r.digests[name] = digest.Of(file.Data)
			}
			r.timeouts = patientTimeouts
			if login != "" {
				r.mirror.Inject("/debian/*", aptest.Login(string(alice)))
			}
			for _, path := range []string{inRelease, packages, r.packageAt("small")} {
				if _, err := r.as(login, r.at(path)); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
			r.quiet()
			if held, _, told := r.given(stranger); !held || !told {
				t.Errorf("gets it %v, is told of it %v", held, told)
			}
			if login != "" {
				r.refused("a client without a login", "", r.at(r.packageAt("small")), 401)
			}
		})
	}
}
