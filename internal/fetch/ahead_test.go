package fetch

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

const amd64Index = "dists/stable/main/binary-amd64/Packages.xz"

// forAmd64 is a package whose name tells which index lists it, whatever the
// machine.
func (r *rig) forAmd64(name string) aptest.File {
	r.t.Helper()
	f := r.archive.Add(aptest.Package{Name: name, Version: "1.0", Arch: "amd64", Size: small})
	r.files[name] = f
	r.publish()
	return f
}

// indexRequests are the mirror's requests for indices.
func indexRequests(m *aptest.Mirror) []string {
	var all []string
	for _, q := range m.Log() {
		if strings.Contains(q.Path, "/Packages") || strings.Contains(q.Path, "/by-hash/") {
			all = append(all, q.Path)
		}
	}
	return all
}

// A client whose lists are current asks for packages alone. It gets them
// at once, and what it got is content as soon as the index was read beside it.
func TestIndexIsReadForAnUnlistedPackage(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	one, two := r.forAmd64("one"), r.forAmd64("two")
	must(t, r.Refresh(t.Context(), r.dir()))
	hold := r.mirror.Inject("*/by-hash/*", aptest.Hold())
	r.want(one.Path, one.Data)
	must(t, hold.Await(t.Context(), 1))
	begun := time.Now()
	r.want(two.Path, two.Data)
	if took := time.Since(begun); took >= catalog.LearnWait {
		t.Errorf("a client waited %s for an index that it did not ask for", took)
	}
	hold.Release()
	r.running.Wait()

	if got := indexRequests(r.mirror); len(got) != 1 {
		t.Errorf("requests for indices: %q, want one", got)
	}
	r.mirror.ResetLog()
	for _, f := range []aptest.File{one, two} {
		d := digest.Of(f.Data)
		if e := r.entry(f.Path); e.Kind != catalog.Content || !e.Signed || e.Digest != d {
			t.Errorf("%s: %+v", f.Path, e)
		}
		if _, ok := r.shared(d, peer.Stranger); !ok {
			t.Errorf("%s is not shared", f.Path)
		}
		r.want(f.Path, f.Data)
	}
	r.running.Wait()
	if got := r.mirror.Log(); len(got) != 0 {
		t.Errorf("for what was held the mirror was asked again: %v", got)
	}
}

// The next client's request for the index finds it held, as apt asks for it.
func TestIndexReadAheadIsTheOneThatAptTakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	f := r.forAmd64("one")
	must(t, r.Refresh(t.Context(), r.dir()))
	r.want(f.Path, f.Data)
	r.running.Wait()
	r.mirror.ResetLog()
	if _, _, err := r.read(amd64Index); err != nil || len(r.mirror.Log()) != 0 {
		t.Errorf("%v, the mirror was asked %v", err, r.mirror.Log())
	}
}

// A client that holds the present Release has its indices, too.
func TestIndicesOfARevalidatedSuite(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{Components: []string{"main", "contrib"}, Architectures: []string{"amd64", "arm64", "riscv64", "armhf", "i386"}})
	f := r.forAmd64("one")
	must(t, r.Refresh(t.Context(), r.dir()))
	r.Revalidated(r.dir())
	r.running.Wait()
	// The package for all architectures stands in the index of this machine's.
	if e := r.entry(r.packageAt("small")); e.Kind != catalog.Content {
		t.Errorf("%+v", e)
	}
	r.want(f.Path, f.Data) // on another machine than amd64, unlisted so far
	r.running.Wait()
	n := len(indexRequests(r.mirror))
	r.Revalidated(r.dir())
	r.running.Wait()
	if got := indexRequests(r.mirror); len(got) != n {
		t.Errorf("read again: %q", got)
	}
	for _, path := range indexRequests(r.mirror) {
		if strings.Contains(path, "binary-riscv64") && deb.Machine() != "riscv64" {
			t.Errorf("read for no client: %s", path)
		}
	}
}

// An index that the mirror does not have costs a few requests, however many
// packages stand in it.
func TestIndexThatFailsIsNotAskedForAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand downloads")
	}
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.forAmd64("one")
	const n = 1000
	for i := range n {
		r.mirror.Put(fmt.Sprintf("/debian/pool/main/p/p%d/p%d_1_amd64.deb", i, i), fmt.Append(nil, i), time.Now())
	}
	must(t, r.Refresh(t.Context(), r.dir()))
	r.mirror.Inject("*/by-hash/*", aptest.Status(404))
	r.mirror.Inject("*/Packages*", aptest.Status(404))
	r.mirror.ResetLog()
	var clients sync.WaitGroup
	for i := range 10 {
		clients.Go(func() {
			for j := i; j < n; j += 10 {
				r.want(fmt.Sprintf("pool/main/p/p%d/p%d_1_amd64.deb", j, j), fmt.Append(nil, j))
			}
		})
	}
	clients.Wait()
	r.running.Wait()
	// Each compression by hash and by name.
	if got := indexRequests(r.mirror); len(got) == 0 || len(got) > 10 {
		t.Errorf("requests for indices %q, want at most 10", got)
	}
	if got := r.mirror.Requests("*InRelease"); got > 1 {
		t.Errorf("%d requests for the Release, want at most 1", got)
	}
}

// A package of an archive of which no Release is known: the mirror may be
// another one of an archive that is.
func TestAliasIsRecognized(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	f := r.forAmd64("one")
	r.update()
	g := r.archive.Publish(time.Now().Add(-time.Hour))
	r.mirror.Publish("/debian", g)
	r.options.TTL = 0
	r.reopen()
	r.update()
	alias := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	alias.Publish("/debian", g)
	read := func(m *aptest.Mirror, path string) {
		t.Helper()
		file, err := r.Get(t.Context(), Request{Entry: r.catalog.Resolve(t.Context(), location(t, m, path), nil)})
		must(t, err)
		defer file.Body.Close()
		_, err = io.Copy(io.Discard, file.Body)
		must(t, err)
	}
	read(alias, f.Path)
	r.running.Wait()
	if n, got := alias.Requests("*InRelease"), indexRequests(alias); n != 1 || len(got) != 0 {
		t.Errorf("%d requests for Releases, want 1; for indices %q, want none", n, got)
	}
	if e := r.catalog.Resolve(t.Context(), location(t, alias, f.Path), nil); e.Kind != catalog.Content || e.Digest != digest.Of(f.Data) {
		t.Errorf("%+v", e)
	}
	// A mirror that is none of it is asked once, for both forms of a Release.
	other := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.3:0"})
	for _, name := range []string{"one", "two", "three"} {
		other.Put("/debian/pool/main/o/one/"+name+"_1_amd64.deb", []byte(name), time.Now())
		read(other, "pool/main/o/one/"+name+"_1_amd64.deb")
		r.running.Wait()
	}
	if n, in := other.Requests("*/dists/*"), other.Requests("*/InRelease"); n != 2 || in != 1 {
		t.Errorf("a mirror without suites was asked %d times, %d of them for InRelease, want one for each form", n, in)
	}
}

// Another mirror of a known archive is recognized beside a flat archive, and a
// suite on record is found again there.
func TestAliasBesideAFlatArchive(t *testing.T) {
	t.Parallel()
	for _, recorded := range []bool{false, true} {
		r := newRig(t, aptest.Suite{})
		f := r.forAmd64("one")
		g := r.archive.Publish(time.Now().Add(-time.Hour))
		r.mirror.Publish("/debian", g)
		r.update()
		m := r.mirror
		if recorded {
			r.forget()
		} else {
			m = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
			m.Publish("/debian", g)
		}
		m.Publish("/flat", aptest.NewArchive(aptest.NewKey("other"), aptest.Suite{Flat: true}).Publish(time.Now().Add(-time.Hour)))
		must(t, r.Refresh(t.Context(), catalog.Location{Scheme: "http", Host: m.Addr(), Path: "/flat"}))
		l := location(t, m, f.Path)
		if _, err := r.as("", l); err != nil {
			t.Fatal(err)
		}
		r.running.Wait()
		if e := r.catalog.Resolve(t.Context(), l, nil); e.Kind != catalog.Content || e.Digest != digest.Of(f.Data) {
			t.Errorf("on record %v: %+v", recorded, e)
		}
	}
}

// A suite that the catalog has forgotten, and its index, are held still.
func TestSuiteOnRecordIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	f := r.forAmd64("one")
	r.update()
	r.forget()
	r.mirror.ResetLog()
	r.want(f.Path, f.Data)
	r.running.Wait()
	if e := r.entry(f.Path); e.Kind != catalog.Content || len(indexRequests(r.mirror)) != 0 {
		t.Errorf("%+v; requests for indices %q", e, indexRequests(r.mirror))
	}
}

// Without a mirror nothing is tried, what is held is served, and peers that
// have the index give it.
func TestIndexIsReadFromPeers(t *testing.T) {
	t.Parallel()
	for _, offline := range []bool{false, true} {
		s := newBoxes()
		r := newRig(t, aptest.Suite{}, func(o *Options) { o.Swarm = s })
		r.timeouts = patientTimeouts
		f := r.forAmd64("one")
		g := r.archive.Publish(time.Now().Add(-time.Hour))
		r.mirror.Publish("/debian", g)
		must(t, r.Refresh(t.Context(), r.dir()))
		hold := r.mirror.Inject("*/by-hash/*", aptest.Status(404))
		byName := r.mirror.Inject("*/Packages*", aptest.Status(404))
		r.want(f.Path, f.Data)
		r.running.Wait()
		hold.Release()
		byName.Release()
		if offline {
			r.options.Mirror = r.box.NewMirror(mirror.Options{Offline: true})
		}
		r.reopen() // what was tried is forgotten
		r.mirror.ResetLog()
		index := g.File(amd64Index)
		s.mu.Lock()
		s.seeds[digest.Of(index)] = []*box{{name: "neighbour", site: s, data: index}}
		s.mu.Unlock()
		r.want(f.Path, f.Data)
		r.running.Wait()
		if e := r.entry(f.Path); e.Kind != catalog.Content || len(r.mirror.Log()) != 0 {
			t.Errorf("offline %v: %+v; the mirror was asked %v", offline, e, r.mirror.Log())
		}
		// The package was kept as unknown, and is given to peers now.
		d := digest.Of(f.Data)
		if !slices.Contains(listed(t, r.Fetcher), d) {
			t.Errorf("offline %v: the package is not offered to peers", offline)
		}
	}
}

// listed is what the box offers to its peers.
func listed(t *testing.T, f *Fetcher) []digest.Digest {
	t.Helper()
	var all []digest.Digest
	for e := range f.Watch(t.Context(), peer.Stranger) {
		if e.Held {
			all = append(all, e.Digest)
		}
		if e.Synced {
			break
		}
	}
	return all
}

// A file that a client does not get says nothing of what it has. With the
// mirror away the client gets what is held, and the mirror is left alone for a
// while after it has come back.
func TestIndexIsNotReadForWhatIsMissingOrWhileTheMirrorIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	f := r.forAmd64("one")
	must(t, r.Refresh(t.Context(), r.dir()))
	if _, _, err := r.read("pool/main/n/none/none_1_amd64.deb"); err == nil {
		t.Error("a package that does not exist")
	}
	r.running.Wait()
	if got := indexRequests(r.mirror); len(got) != 0 {
		t.Errorf("for a package that the mirror does not have it was asked for %q", got)
	}
	// Held, with an index that could not be had.
	faults := []*aptest.Injection{r.mirror.Inject("*/by-hash/*", aptest.Status(404)), r.mirror.Inject("*/Packages*", aptest.Status(404))}
	r.want(f.Path, f.Data)
	r.running.Wait()
	for _, fault := range faults {
		fault.Release()
	}
	r.reopen()
	r.mirror.Down()
	r.want(f.Path, f.Data)
	r.running.Wait()
	must(t, r.mirror.Up())
	r.mirror.ResetLog()
	r.want(f.Path, f.Data)
	r.running.Wait()
	if got := r.mirror.Log(); len(got) != 0 {
		t.Errorf("asked again at once: %v", got)
	}
}
