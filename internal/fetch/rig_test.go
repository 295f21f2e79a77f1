// The tests: a Fetcher over a real box is in rig_test, its fake peers in
// swarmrig_ and swarm_test. content_, release_, urlcache_, ahead_, keep_, anticipate_,
// body_ and peek_test are about the mirror alone; paths_, pieces_, liars_,
// lookup_, upload_ and inventory_test about peers; login_ and private_test about
// what comes with a login; about_, attribution_ and
// transfers_test about what is recorded of a download.
package fetch

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Fetcher over real floors and an archive with a mirror.
type rig struct {
	*Fetcher
	options Options
	t       testing.TB
	key     *aptest.Key
	keys    string // the directory with key
	archive *aptest.Archive
	mirror  *aptest.Mirror
	box     *boxtest.Box
	disk    *storetest.Disk
	data    string       // the box's data directory
	quota   int64        // of the store, if not 0
	taken   atomic.Int64 // bytes metered from mirrors
	files   map[string]aptest.File

	shareHost func(catalog.Location) bool // as in boxtest.Options
}

// small and large are packages on either side of holdback.
const (
	small = 20 << 10
	large = 1 << 20
)

func newRig(t testing.TB, suite aptest.Suite, change ...func(*Options)) *rig {
	t.Helper()
	return newRigWith(t, suite, nil, change...)
}

// newRigWith has packages of the sizes named beside small and large.
func newRigWith(t testing.TB, suite aptest.Suite, sizes map[string]int, change ...func(*Options)) *rig {
	t.Helper()
	r := newArchiveRig(t, suite, sizes)
	r.open(change...)
	return r
}

// newArchiveRig is newRigWith before open.
func newArchiveRig(t testing.TB, suite aptest.Suite, sizes map[string]int) *rig {
	t.Helper()
	a := boxtest.NewArchive(t, aptest.MirrorOptions{}, suite)
	r := &rig{t: t, key: a.Key, keys: a.Keys, archive: a.Archive, mirror: a.Mirror, files: a.Files}
	for _, more := range []map[string]int{{"small": small, "large": large}, sizes} {
		for name, size := range more {
			r.files[name] = r.archive.Add(aptest.Package{Name: name, Version: "1.0", Size: size})
		}
	}
	r.publish()
	return r
}

// unshared opens the rig's box with mirrors that are private, as on loopback they
// are.
func (r *rig) unshared(change ...func(*Options)) {
	r.t.Helper()
	r.shareHost = func(catalog.Location) bool { return false }
	r.open(change...)
}

// publish makes the next generation current at the mirror.
func (r *rig) publish() { r.mirror.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour))) }

// open builds the floors below and a Fetcher.
func (r *rig) open(change ...func(*Options)) {
	t := r.t
	t.Helper()
	r.data = t.TempDir()
	r.box = boxtest.New(t, boxtest.Options{Dir: r.data, Keys: r.keys, Quota: r.quota, Mirror: r.metered(time.Minute), ShareHost: r.shareHost})
	r.disk = r.box.Disk
	o := Options{
		Store: r.box.Store, Catalog: r.box.Catalog, Mirror: r.box.Mirror, Names: r.box.DB.Table("names"), TTL: time.Minute,
		Log: r.box.Log,
	}
	for _, c := range change {
		c(&o)
	}
	r.options = o
	r.Fetcher = New(o)
	t.Cleanup(func() { r.Fetcher.Close() })
}

// metered are the options of a mirror client that counts into taken, and takes
// a mirror that sends nothing for as long as stall for stalled.
func (r *rig) metered(stall time.Duration) mirror.Options {
	return mirror.Options{
		Meter: func(_ mirror.File, _ mirror.Answer, n int64) { r.taken.Add(n) }, StallTimeout: stall, DownFor: time.Millisecond,
	}
}

// impatient makes the box give up soon on a mirror that stalls.
func (r *rig) impatient() {
	r.t.Helper()
	must(r.t, r.Fetcher.Close())
	o := r.options
	o.Mirror = r.box.NewMirror(r.metered(300 * time.Millisecond))
	r.Fetcher = New(o)
	r.t.Cleanup(func() { r.Fetcher.Close() })
}

// reopen is a restart of the Fetcher on the same floors.
func (r *rig) reopen() {
	r.t.Helper()
	must(r.t, r.Fetcher.Close())
	r.Fetcher = New(r.options)
	r.t.Cleanup(func() { r.Fetcher.Close() })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at is the location of a path at the rig's mirror.
func (r *rig) at(path string) catalog.Location { return location(r.t, r.mirror, path) }

func location(t testing.TB, m *aptest.Mirror, path string) catalog.Location {
	t.Helper()
	u, err := url.Parse(m.URL("/debian/" + path))
	must(t, err)
	l, err := catalog.ParseLocation(u.Scheme, u.Host, u.EscapedPath())
	must(t, err)
	return l
}

// get asks for a path as a client does who was last served the generation
// pin of its suite.
func (r *rig) get(ctx context.Context, path string, pin digest.Digest) (*File, error) {
	e := r.catalog.Resolve(ctx, r.at(path), func(catalog.Location) digest.Digest { return pin })
	return r.Get(ctx, Request{Entry: e})
}

// read gets a path whole.
func (r *rig) read(path string) ([]byte, *File, error) {
	f, err := r.get(r.t.Context(), path, digest.Digest{})
	if err != nil {
		return nil, nil, err
	}
	defer f.Body.Close()
	b, err := io.ReadAll(f.Body)
	return b, f, err
}

// want reads a path and compares.
func (r *rig) want(path string, want []byte) *File {
	r.t.Helper()
	b, f, err := r.read(path)
	if err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
	if !bytes.Equal(b, want) {
		r.t.Fatalf("%s: got %d bytes, want %d", path, len(b), len(want))
	}
	return f
}

// update does what apt-get update does, so that the packages are known.
func (r *rig) update() {
	r.t.Helper()
	for _, path := range []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.xz"} {
		if _, _, err := r.read(path); err != nil {
			r.t.Fatalf("%s: %v", path, err)
		}
	}
}

// held reports whether the store has d.
func (r *rig) held(d digest.Digest) bool {
	_, err := r.store.Stat(d)
	return err == nil
}

// second starts another mirror of the same archive that the box knows too.
func (r *rig) second() *aptest.Mirror {
	r.t.Helper()
	m := aptest.NewMirror(r.t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	m.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
	r.publish() // the same content; the catalog compares digests
	for _, path := range []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.xz"} {
		e := r.catalog.Resolve(r.t.Context(), location(r.t, m, path), nil)
		f, err := r.Get(r.t.Context(), Request{Entry: e})
		must(r.t, err)
		_, err = io.Copy(io.Discard, f.Body)
		must(r.t, err)
		f.Body.Close()
	}
	return m
}

// packageAt is the path of a package of the rig.
func (r *rig) packageAt(name string) string { return r.files[name].Path }
