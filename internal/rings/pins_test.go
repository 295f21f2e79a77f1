package rings

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// owners are those of the pins of a blob.
func (r *rig) owners(d digest.Digest) []string {
	r.t.Helper()
	info, err := r.box.Store.Stat(d)
	if err != nil {
		r.t.Fatal(err)
	}
	return info.Pins
}

// use has a client of a ring get a package.
func (r *rig) use(ring string, deb aptest.File) digest.Digest {
	r.t.Helper()
	r.put(deb.Data)
	e := r.box.Catalog.Resolve(r.t.Context(), at(r.t, deb.Path), nil)
	if e.Kind != catalog.Content {
		r.t.Fatalf("%s is not listed", deb.Path)
	}
	r.Used(ring, e)
	return e.Digest
}

// Packages that a ring's clients used are pinned as long as the ring, or one that comes
// after it, has a generation that lists them, also across a restart.
func TestRingHoldsItsPackages(t *testing.T) {
	t.Parallel()
	r := newRig(t, "canary; prod after=canary delay=3d")
	steady := r.archive.Add(aptest.Package{Name: "steady", Version: "1.0", Arch: "amd64"})
	r.publish()
	dir := at(t, stable)
	for _, name := range []string{"canary", "prod"} {
		r.Begin(name, dir)
	}
	kept := r.use("prod", steady)
	old := r.use("prod", r.debs[0])
	r.Used("prod", catalog.Entry{Digest: digest.Of(r.put2("unsigned"))})
	r.sweep(t.Context())
	want := func(when string, d digest.Digest, owners ...string) {
		t.Helper()
		if got := r.owners(d); !slices.Equal(got, owners) {
			t.Errorf("%s: pinned by %v, want %v", when, got, owners)
		}
	}
	want("unsigned", digest.Of([]byte("unsigned")))
	for range 2 {
		r.pass(day)
		r.publish()
		r.sweep(t.Context())
		want("before the promotion", kept, "ring prod")
		want("before the promotion", old, "ring prod")
	}
	r.open()
	if err := r.findPins(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.pass(3 * day) // to the last one; the first two are former ones
	r.sweep(t.Context())
	want("one promotion later", old, "ring prod") // a rollback leads there
	r.publish()
	r.pass(3 * day)
	r.sweep(t.Context())
	want("two promotions later", old)
	want("two promotions later", kept, "ring prod")
	if all := r.List(); all[1].Bytes != int64(len(steady.Data)) || all[1].Full {
		t.Errorf("rings: %+v", all)
	}
}

// put2 is put with the bytes of a text, which it returns.
func (r *rig) put2(text string) []byte { r.put([]byte(text)); return []byte(text) }

// smallStore is a store with less room.
type smallStore struct {
	Store
	quota int64
}

func (s smallStore) Usage() store.Usage {
	u := s.Store.Usage()
	u.QuotaBytes = s.quota
	return u
}

// What a ring holds is bounded. When its share is used up, what only its former
// generation needs goes first, and then /readyz says so.
func TestRingShareIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d; other")
	var debs []aptest.File
	for i := range 20 {
		debs = append(debs, r.archive.Add(aptest.Package{Name: fmt.Sprint("p", i), Version: "1.0", Arch: "amd64", Size: 10_000}))
	}
	r.publish()
	r.Begin("prod", at(t, stable))
	r.store = smallStore{r.box.Store, 10 * 2 * ringShare * int64(len(debs[0].Data))} // ten for each of the two rings
	for _, d := range debs {
		r.use("prod", d)
	}
	share := r.share("prod")
	if n := r.pins.pinned("prod"); n > share || n < share/2 {
		t.Errorf("%d bytes are pinned, of %d", n, share)
	}
	if full := r.Full(); len(full) != 1 || !strings.Contains(full[0], "ring prod") || !strings.Contains(full[0], "MILLPOND_CACHE_SIZE") {
		t.Errorf("faults: %q", full)
	}
	// They leave the archive, so that the next generation needs none of them.
	for i := range 20 {
		r.archive.Remove(fmt.Sprint("p", i))
	}
	r.pass(day)
	r.publish()
	r.pass(3 * day)
	r.sweep(t.Context())
	if n := r.pins.pinned("prod"); n != 0 || len(r.Full()) != 0 {
		t.Errorf("after the promotion %d bytes are pinned; faults %q", n, r.Full())
	}
}

// Release files and indices of the past are pinned, and released with their generations.
func TestPastIsPinned(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.publish()
	first := r.last
	for range 3 {
		r.publish()
	}
	r.sweep(t.Context())
	for _, name := range []string{stable + "/InRelease", stable + indexOf, security + "/InRelease", security + indexOf} {
		if got := r.owners(digest.Of(first.File(name))); !slices.Equal(got, []string{pastOwner}) {
			t.Errorf("%s is pinned by %v", name, got)
		}
	}
	// The index in force is in use.
	if got := r.owners(digest.Of(r.last.File(stable + indexOf))); len(got) != 0 {
		t.Errorf("the index in force is pinned by %v", got)
	}
	if got := r.owners(digest.Of(r.last.File(stable + "/InRelease"))); len(got) != 1 {
		t.Errorf("the Release in force is pinned by %v", got)
	}
	id := digest.Of(first.File(stable + "/InRelease"))
	if err := r.box.Catalog.ForgetPast(at(t, stable), id); err != nil {
		t.Fatal(err)
	}
	r.open() // a restart finds the pins
	if err := r.findPins(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.sweep(t.Context())
	for _, name := range []string{stable + "/InRelease", stable + indexOf} {
		if got := r.owners(digest.Of(first.File(name))); len(got) != 0 {
			t.Errorf("%s of a forgotten generation is pinned by %v", name, got)
		}
	}
}

// The files of the past are bounded in all, and those of one archive to half of that: the
// oldest generations of the archive that has most are forgotten.
func TestPastShareIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	const n = 12
	for range n {
		r.archive.AddFile("stable", "main/big", bytes.Repeat([]byte{byte(len(r.versions))}, 50_000))
		r.publish()
		r.put(r.last.File(stable + "/main/big"))
	}
	r.store = smallStore{r.box.Store, 2 * pastShare * 5 * 60_000} // some five generations are half of the share
	r.sweep(t.Context())
	moments := r.box.Catalog.Moments(at(t, stable))
	if len(moments) >= n || len(moments) < 3 {
		t.Errorf("%d generations are left of %d", len(moments), n)
	}
	if got, most := r.pins.pinned(""), r.share("")/2; got > most || got < most/2 {
		t.Errorf("%d bytes are pinned, of %d", got, most)
	}
	for i, m := range moments {
		if r.versions[m.ID] != n-i {
			t.Errorf("generation %d is left in place %d", r.versions[m.ID], i)
		}
	}
}

// A ring has so many suites at most, and gives up the one that was used longest ago.
func TestLanesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.publish()
	r.Begin("prod", at(t, stable))
	r.mu.Lock()
	of := r.rings["prod"]
	for i := range maxLanes {
		of.lanes[at(t, fmt.Sprint("dists/s", i))] = &lane{Steps: []step{{}}, Used: r.clock.Add(-day * 2)}
	}
	of.lanes[at(t, "dists/s7")].Used = r.clock.Add(-day * 3)
	r.limitLanes(of)
	r.mu.Unlock()
	if len(of.lanes) != maxLanes || of.lanes[at(t, "dists/s7")] != nil || of.lanes[at(t, stable)] == nil {
		t.Errorf("%d lanes", len(of.lanes))
	}
	l := &lane{Steps: []step{{Generation: digest.Of([]byte("x"))}}}
	for i := range 10 * maxSteps {
		l.add(step{Generation: digest.Of(fmt.Append(nil, i)), Since: r.clock.Add(day * 0)})
	}
	if len(l.Steps) > maxSteps || l.present().Generation != digest.Of(fmt.Append(nil, 10*maxSteps-1)) {
		t.Errorf("%d steps", len(l.Steps))
	}
}
