package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// ranked is a swarm in which a box sees those that rank above it, highest first, for
// every suite.
type ranked struct {
	*boxes
	above []peer.Peer
}

func (s *ranked) Owners(digest.Digest) []peer.Peer { return s.above }

// other is another real box of a site, as one of that kind asks it.
type other struct {
	box
	of    *rig
	asker peer.Asker
	taken atomic.Int64 // bytes that it handed over
}

func (o *other) Release(ctx context.Context, q peer.ReleaseQuery) (a peer.ReleaseAnswer, err error) {
	offer, err := o.of.Release(ctx, o.asker, q, func() {})
	if err != nil {
		return a, err
	}
	a.Age = offer.Age
	if offer.Open == nil {
		return a, nil
	}
	release, signature, err := offer.Open(ctx)
	if err != nil {
		return a, err
	}
	for into, from := range map[*[]byte]peer.Upload{&a.Release: release, &a.Signature: signature} {
		if from == nil {
			continue
		}
		*into, err = io.ReadAll(from)
		if err := errors.Join(err, from.Close()); err != nil {
			return a, err
		}
		o.taken.Add(int64(len(*into)))
	}
	return a, nil
}

// siteRig is real boxes before one mirror. Each asks those before it.
type siteRig struct {
	*rig
	boxes []*rig
	above [][]*other // of each box, the boxes before it
}

// newSite has n boxes, which are of that kind to each other.
func newSite(t *testing.T, suite aptest.Suite, n int, kind peer.Kind, open func(*rig, ...func(*Options))) *siteRig {
	t.Helper()
	first := newArchiveRig(t, suite, nil)
	s := &siteRig{rig: first}
	for i := range n {
		r := first
		if i > 0 {
			r = &rig{t: t, key: first.key, keys: first.keys, archive: first.archive, mirror: first.mirror, files: first.files}
		}
		var above []*other
		swarm := &ranked{boxes: newBoxes()}
		for j, b := range s.boxes {
			o := &other{of: b, asker: peer.Asker{ID: fmt.Sprint("box", i), Kind: kind}}
			o.name, o.standing.Kind = fmt.Sprint("box", j), kind
			above, swarm.above = append(above, o), append(swarm.above, o)
		}
		open(r, func(o *Options) { o.Swarm = swarm })
		s.boxes, s.above = append(s.boxes, r), append(s.above, above)
	}
	return s
}

// askedFor is how many requests for Release files the mirror got since the last call.
func (s *siteRig) askedFor() int {
	n := s.mirror.Requests("*Release*")
	s.mirror.ResetLog()
	return n
}

// patient makes all boxes wait for each other as for one with a slow mirror.
func (s *siteRig) patient() {
	for _, b := range s.boxes {
		b.patient()
	}
}

func (r *rig) patient() {
	r.paces.change(r.mirrorAt(r.at(inRelease), "").Record(), func(p *pace) { p.first = time.Second })
}

// all has a client of each box read a file, and returns what they got.
func (s *siteRig) all(path string) (got [][]byte) {
	s.t.Helper()
	for i, b := range s.boxes {
		data, _, err := b.read(path)
		if err != nil {
			s.t.Fatalf("box %d: %v", i, err)
		}
		got = append(got, data)
	}
	return got
}

// later lets time pass for what the box remembers of suites.
func (r *rig) later(d time.Duration) {
	r.t.Helper()
	var keys []string
	must(r.t, r.names.Scan([]byte("suite/"), nil, func(k, _ []byte) bool {
		keys = append(keys, string(k))
		return true
	}))
	for _, key := range keys {
		s, err := kv.GetJSON[map[string]map[string]any](r.names, key)
		must(r.t, err)
		for _, form := range s {
			for _, check := range []any{form, form["Asked"], form["Answered"]} {
				c, ok := check.(map[string]any)
				if !ok || c["Clock"] == nil {
					continue
				}
				at, err := time.Parse(time.RFC3339Nano, c["Checked"].(string))
				must(r.t, err)
				c["Checked"] = at.Add(-d)
				clock := c["Clock"].(map[string]any)
				clock["Passed"] = int64(clock["Passed"].(float64)) - d.Nanoseconds()
			}
		}
		must(r.t, kv.PutJSON(r.names, key, s))
	}
}

func (s *siteRig) later(d time.Duration) {
	s.t.Helper()
	for _, b := range s.boxes {
		b.later(d)
	}
}

// next publishes another generation.
func (s *siteRig) next() *aptest.Generation {
	s.archive.Add(aptest.Package{Name: "next", Version: "1", Size: 10})
	g := s.archive.Publish(time.Now().Add(-time.Minute))
	s.mirror.Publish("/debian", g)
	return g
}

// shared opens boxes whose mirror anybody can reach.
func shared(r *rig, change ...func(*Options)) { r.open(change...) }

func TestOnePollServesTheSite(t *testing.T) {
	t.Parallel()
	for path, suite := range forms {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, suite, 3, peer.Local, shared)
			files := []string{path}
			poll := 1
			if filepath.Base(path) == "Release" {
				files, poll = append(files, path+".gpg"), 2
			}
			read := func() (last [][]byte) {
				for range 4 {
					for _, f := range files {
						last = s.all(f)
					}
				}
				return last
			}
			read()
			if n := s.askedFor(); n != 3*poll {
				t.Errorf("three boxes asked the mirror %d times for a suite that is new to them, want each once, %d", n, 3*poll)
			}
			s.later(2 * time.Minute)
			s.patient()
			read()
			if n := s.askedFor(); n != poll {
				t.Errorf("twelve clients at three boxes after the TTL made %d requests, want %d", n, poll)
			}
			s.later(30 * time.Second)
			read()
			if n := s.askedFor(); n != 0 {
				t.Errorf("within the TTL there were %d requests", n)
			}
			s.later(2 * time.Minute)
			g := s.next()
			got := read()
			if n := s.askedFor(); n != poll {
				t.Errorf("a new generation came to three boxes by %d requests, want %d", n, poll)
			}
			for i, data := range got {
				if string(data) != string(g.File(files[len(files)-1])) {
					t.Errorf("box %d does not have the new generation", i)
				}
			}
			s.later(time.Hour)
			read()
			if n := s.askedFor(); n != 3*poll {
				t.Errorf("three boxes that have not asked the mirror for an hour made %d requests, want %d", n, 3*poll)
			}
		})
	}
}

// What another box sent counts as a peer's, for the first client alone.
func TestHandedOverReleaseIsAPeers(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.Suite{}, 2, peer.Member, shared)
	var avoided atomic.Int64
	s.boxes[1].avoided = func(catalog.Location) { avoided.Add(1) }
	s.all(inRelease)
	s.next()
	s.later(2 * time.Minute)
	s.patient()
	before := s.boxes[1].taken.Load()
	for i, want := range []ledger.Origin{ledger.FromPeer, ledger.FromStore} {
		data, f, err := s.boxes[1].read(inRelease)
		must(t, err)
		if by := s.boxes[1].CheckedBy(s.at(inRelease).Dir()); by != "box0" {
			t.Errorf("the suite was confirmed by %q, want the mirror of box0", by)
		}
		if got := f.Body.Origin(); got != want {
			t.Errorf("request %d: the bytes are of the origin %v, want %v", i, got, want)
		}
		if handed := s.above[1][0].taken.Load(); handed != int64(len(data)) {
			t.Errorf("request %d: the other box handed over %d bytes, want %d once", i, handed, len(data))
		}
		if info, err := s.boxes[1].store.Stat(f.Digest); err != nil || len(info.From) != 1 || !info.From[0].Peer {
			t.Errorf("the Release comes from %+v, want the peer (%v)", info.From, err)
		}
	}
	if n := avoided.Load(); n != 2 {
		t.Errorf("%d requests count as avoided, want both", n)
	}
	if n := s.boxes[1].taken.Load() - before; n > 1 {
		t.Errorf("%d bytes came from the mirror", n)
	}
}

// Boxes whose TTL runs out at the same time make one request.
func TestBoxesThatAskAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.Suite{}, 3, peer.Local, shared)
	s.all(inRelease)
	s.later(2 * time.Minute)
	s.patient()
	s.askedFor()
	hold := s.mirror.Inject("*InRelease", aptest.Hold())
	var clients sync.WaitGroup
	for _, b := range s.boxes {
		for range 3 {
			clients.Go(func() {
				if _, _, err := b.read(inRelease); err != nil {
					t.Error(err)
				}
			})
		}
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	clients.Wait()
	if n := s.askedFor(); n != 1 {
		t.Errorf("nine clients at three boxes at once made %d requests, want 1", n)
	}
}

// lying is a box whose one neighbour answers as it likes.
func lying(t *testing.T, suite aptest.Suite, release func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error)) (*rig, *box) {
	t.Helper()
	r := newArchiveRig(t, suite, nil)
	liar := &box{name: "liar", standing: peer.Standing{Kind: peer.Local}, release: release}
	r.open(func(o *Options) { o.Swarm = &ranked{newBoxes(), []peer.Peer{liar}} })
	return r, liar
}

// What a box sends in the place of the present Release is not taken, nor asked for again
// soon, and the client gets what the mirror has.
func TestLiesAboutReleases(t *testing.T) {
	t.Parallel()
	flip := func(b []byte) []byte {
		c := append([]byte(nil), b...)
		c[len("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nO")] ^= 1
		return c
	}
	type lie struct {
		name  string
		send  func(r *rig, g *aptest.Generation) peer.ReleaseAnswer
		fault peer.Fault
	}
	lies := []lie{
		{"changed", func(_ *rig, g *aptest.Generation) peer.ReleaseAnswer {
			return peer.ReleaseAnswer{Release: flip(g.File(inRelease))}
		}, peer.Lied},
		{"no Release", func(*rig, *aptest.Generation) peer.ReleaseAnswer {
			return peer.ReleaseAnswer{Release: []byte("<html>sign in</html>")}
		}, peer.Failed},
		{"old answer", func(*rig, *aptest.Generation) peer.ReleaseAnswer { return peer.ReleaseAnswer{Age: 2 * time.Minute} }, peer.None},
		{"expired", func(r *rig, g *aptest.Generation) peer.ReleaseAnswer {
			text := later(string(g.File("dists/stable/Release"))) + "Valid-Until: Thu, 01 Jan 2026 00:00:00 UTC\n"
			return peer.ReleaseAnswer{Release: aptest.Clearsign([]byte(text), time.Now().Add(-time.Minute), r.key)}
		}, peer.None},
	}
	for _, a := range attacks {
		lies = append(lies, lie{a.name, func(r *rig, g *aptest.Generation) peer.ReleaseAnswer {
			return peer.ReleaseAnswer{Release: a.files(r, g)["InRelease"]}
		}, map[bool]peer.Fault{true: peer.Failed}[a.name == "no signature"]})
	}
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var answer peer.ReleaseAnswer
			var asked atomic.Int64
			r, liar := lying(t, aptest.Suite{}, func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
				asked.Add(1)
				return answer, nil
			})
			g := r.archive.Publish(time.Now().Add(-time.Hour))
			r.mirror.Publish("/debian", g)
			r.want(inRelease, g.File(inRelease))
			if asked.Load() != 0 {
				t.Error("a box was asked for a suite that the mirror has not confirmed")
			}
			answer = l.send(r, g)
			for range 2 {
				r.later(2 * time.Minute)
				r.want(inRelease, g.File(inRelease))
			}
			if n := r.mirror.Requests("*InRelease"); n != 3 {
				t.Errorf("%d requests at the mirror, want 3", n)
			}
			if got := liar.faults(); (l.fault == peer.None) != (len(got) == 0) || len(got) > 0 && got[0] != l.fault {
				t.Errorf("faults %v, want %v", got, l.fault)
			}
			if l.name != "old answer" && asked.Load() != 1 {
				t.Errorf("the box was asked %d times, want once", asked.Load())
			}
			if _, bad := r.Checked(r.at(inRelease).Dir()); bad != "" {
				t.Errorf("the suite is stale: %s", bad)
			}
			if _, ok := r.Rejected(r.at(inRelease).Dir()); ok {
				t.Error("what the box sent counts as the mirror's")
			}
		})
	}
}

// A box that says that nothing has changed hides an update for an hour at most.
func TestHiddenUpdate(t *testing.T) {
	t.Parallel()
	r, liar := lying(t, aptest.Suite{}, func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
		return peer.ReleaseAnswer{}, nil
	})
	old, _, err := r.read(inRelease)
	must(t, err)
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	for range 11 {
		r.later(5 * time.Minute)
		r.want(inRelease, old)
	}
	r.later(5 * time.Minute)
	got, _, err := r.read(inRelease)
	must(t, err)
	if string(got) == string(old) {
		t.Error("after an hour the update is hidden still")
	}
	if n := r.mirror.Requests("*InRelease"); n != 2 {
		t.Errorf("%d requests at the mirror in an hour, want 2", n)
	}
	if len(liar.faults()) > 0 {
		t.Errorf("faults %v for what may be true of another mirror", liar.faults())
	}
}

// A client that wants the mirror asked gets what that says.
func TestRevalidatingClientsAskTheMirror(t *testing.T) {
	t.Parallel()
	r, _ := lying(t, aptest.Suite{}, func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
		return peer.ReleaseAnswer{}, nil
	})
	_, _, err := r.read(inRelease)
	must(t, err)
	r.later(2 * time.Minute)
	f, err := r.Get(t.Context(), Request{Entry: r.catalog.Resolve(t.Context(), r.at(inRelease), nil), Revalidate: true})
	must(t, err)
	f.Body.Close()
	if n := r.mirror.Requests("*InRelease"); n != 2 {
		t.Errorf("%d requests at the mirror, want 2", n)
	}
	if by := r.CheckedBy(r.at(inRelease).Dir()); by != "" {
		t.Errorf("the suite was confirmed by %q, want the mirror of this box", by)
	}
}

// A box that does not answer costs a client what an owner may, and its standing if the
// mirror was faster.
func TestSilentOwnersOfReleases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		err   error
		waits bool
		fault []peer.Fault
	}{
		{"no sign", peer.ErrSilent, false, []peer.Fault{peer.Slow}},
		{"a sign, and nothing more", peer.ErrStalled, true, []peer.Fault{peer.Stalled}},
		{"gone", errors.New("connection refused"), false, nil},
		{"unknown suite", fs.ErrNotExist, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, liar := lying(t, aptest.Suite{}, func(ctx context.Context, _ peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
				if c.waits {
					<-ctx.Done()
				}
				return peer.ReleaseAnswer{}, c.err
			})
			want, _, err := r.read(inRelease)
			must(t, err)
			r.later(2 * time.Minute)
			r.patient() // or the mirror may not be the faster one on a busy machine
			begun := time.Now()
			r.want(inRelease, want)
			if took := time.Since(begun); c.waits && took < relayLeast {
				t.Errorf("the box was waited for %v only", took)
			}
			if n := r.mirror.Requests("*InRelease"); n != 2 {
				t.Errorf("%d requests at the mirror, want 2", n)
			}
			if got := liar.faults(); fmt.Sprint(got) != fmt.Sprint(c.fault) {
				t.Errorf("faults %v, want %v", got, c.fault)
			}
		})
	}
}

// Boxes that do not have the suite cost a few round trips.
func TestFewOwnersOfReleasesAreAsked(t *testing.T) {
	t.Parallel()
	r := newArchiveRig(t, aptest.Suite{}, nil)
	var asked atomic.Int64
	s := &ranked{boxes: newBoxes()}
	for i := range 10 {
		s.above = append(s.above, &box{name: fmt.Sprint("box", i), standing: peer.Standing{Kind: peer.Member}, release: func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
			asked.Add(1)
			return peer.ReleaseAnswer{}, fs.ErrNotExist
		}})
	}
	r.open(func(o *Options) { o.Swarm = s })
	want, _, err := r.read(inRelease)
	must(t, err)
	r.later(2 * time.Minute)
	r.want(inRelease, want)
	if n := asked.Load(); n < 1 || n > 4 {
		t.Errorf("%d boxes were asked for a suite that they do not have, want at most 4", n)
	}
}

// Who may know of a suite: nobody of one behind a login, members of a private one, and
// no stranger of any.
func TestReleasesAreForTheSite(t *testing.T) {
	t.Parallel()
	private := func(r *rig, change ...func(*Options)) { r.unshared(change...) }
	for _, c := range []struct {
		name string
		open func(*rig, ...func(*Options))
		kind peer.Kind
		asks int // at the mirror after the TTL, of two boxes
	}{
		{"public, members", shared, peer.Member, 1},
		{"public, local boxes", shared, peer.Local, 1},
		{"public, strangers", shared, peer.Stranger, 2},
		{"private, members", private, peer.Member, 1},
		{"private, local boxes", private, peer.Local, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, aptest.Suite{}, 2, c.kind, c.open)
			s.all(inRelease)
			s.askedFor()
			s.later(2 * time.Minute)
			s.patient()
			s.all(inRelease)
			if n := s.askedFor(); n != c.asks {
				t.Errorf("%d requests, want %d", n, c.asks)
			}
			// What a box says does not depend on whom the other one would ask.
			q := peer.ReleaseQuery{Suite: digest.Of([]byte(s.at(inRelease).Dir().String())), Held: digest.Of(nil)}
			_, err := s.Release(t.Context(), peer.Asker{ID: "asker", Kind: c.kind}, q, func() {})
			if (err == nil) != (c.asks == 1) || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the answer to such a box is %v", err)
			}
		})
	}
}

func TestReleasesBehindALoginAreForNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.Suite{}, 2, peer.Member, shared)
	s.mirror.Inject("/debian/*", aptest.Login(string(alice)))
	for range 2 {
		for _, b := range s.boxes {
			_, err := b.as(alice, b.at(inRelease))
			must(t, err)
		}
		s.later(2 * time.Minute)
	}
	q := peer.ReleaseQuery{Suite: digest.Of([]byte(s.at(inRelease).Dir().String())), Held: digest.Of(nil)}
	if _, err := s.Release(t.Context(), member, q, func() {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a member is told of a suite that took a login: %v", err)
	}
	if n := s.above[1][0].taken.Load(); n != 0 {
		t.Errorf("%d bytes were handed over", n)
	}
}

// What a new Release changes is fetched from a box of this site that has it; otherwise
// the mirror is asked for a byte.
func TestIndicesOfANewReleaseComeFromTheSite(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	for name, near := range map[string]bool{"at this site": true, "elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBoxes()
			r := newRig(t, aptest.Suite{}, func(o *Options) { o.Swarm = s })
			r.update()
			r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
			g := r.archive.Publish(time.Now().Add(-time.Minute))
			r.mirror.Publish("/debian", g)
			d := digest.Of(g.File(index))
			b := &box{name: "neighbour", site: s, far: !near, data: g.File(index), standing: peer.Standing{Kind: peer.Local}}
			s.seeds[d] = []*box{b}
			r.mirror.ResetLog()
			r.later(2 * time.Minute)
			r.want(inRelease, g.File(inRelease))
			if n := r.mirror.Requests("*Packages*") + r.mirror.Requests("*by-hash*"); (n == 0) != near || r.held(d) != near {
				t.Errorf("%d requests for indices at the mirror; the new one is held: %t", n, r.held(d))
			}
		})
	}
}
