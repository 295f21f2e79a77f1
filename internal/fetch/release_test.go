package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const inRelease = "dists/stable/InRelease"

// noTTL makes every request for a head ask the mirror.
func noTTL(o *Options) { o.TTL = 0 }

func TestReleaseOncePerTTL(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	hold := r.mirror.Inject("*InRelease", aptest.Hold())
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			if _, _, err := r.read(inRelease); err != nil {
				t.Error(err)
			}
		})
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	clients.Wait()
	for range 10 {
		if _, _, err := r.read(inRelease); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.mirror.Requests("*InRelease"); n != 1 {
		t.Errorf("60 requests within the TTL made %d of the mirror, want 1", n)
	}
}

func TestReleaseIsRevalidated(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	first, f, err := r.read(inRelease)
	must(t, err)
	if f.Release != digest.Of(first) {
		t.Errorf("the generation served is %s, not the digest of its InRelease", f.Release.Short())
	}
	r.want(inRelease, first) // two answers prove the file's validators
	before := r.mirror.BytesSent("*")
	r.want(inRelease, first)
	if sent := r.mirror.BytesSent("*") - before; sent != 0 {
		t.Errorf("an unchanged head cost %d bytes of the mirror", sent)
	}
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	second, _, err := r.read(inRelease)
	must(t, err)
	if bytes.Equal(first, second) {
		t.Error("the mirror's new head was not fetched")
	}
	// The head that was replaced may be evicted now, the current one not.
	for head, pinned := range map[digest.Digest]bool{digest.Of(first): false, digest.Of(second): true} {
		if info, err := r.store.Stat(head); err != nil || info.Pinned != pinned {
			t.Errorf("head %s: pinned %v, want %v (%v)", head.Short(), info.Pinned, pinned, err)
		}
	}
}

// A suite that goes on releases its own pin of the Release file, not those of
// an administrator and of another suite with the same bytes.
func TestReplacedReleaseFileKeepsOtherPins(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	data, _, err := r.read(inRelease)
	must(t, err)
	others := []string{store.ByAdmin, "release http://other.example.net/dists/stable"}
	for _, owner := range others {
		must(t, r.store.Pin(digest.Of(data), owner))
	}
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	_, _, err = r.read(inRelease)
	must(t, err)
	if info, err := r.store.Stat(digest.Of(data)); err != nil || !slices.Equal(info.Pins, others) {
		t.Errorf("pins of the replaced file: %q, want %q (%v)", info.Pins, others, err)
	}
}

func TestLastGoodReleaseWhileTheMirrorIsUnreachable(t *testing.T) {
	t.Parallel()
	garbage := []byte("<html>please log in</html>")
	for name, away := range map[string]func(*rig){
		"down":    func(r *rig) { r.mirror.Down() },
		"503":     func(r *rig) { r.mirror.Inject("*", aptest.Status(503)) },
		"stalled": func(r *rig) { r.mirror.Inject("*", aptest.NoValidators(), aptest.Stall(10)) },
		"portal":  func(r *rig) { r.mirror.Inject("*", aptest.OtherBody(garbage), aptest.NoValidators()) },
		"tampered": func(r *rig) {
			g := r.archive.Publish(time.Now().Add(-time.Minute))
			bad := bytes.Replace(g.File(inRelease), []byte("Components: main"), []byte("Components: evil"), 1)
			r.mirror.Inject("*InRelease", aptest.OtherBody(bad), aptest.NoValidators())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, aptest.Suite{}, noTTL)
			good, _, err := r.read(inRelease)
			must(t, err)
			r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
			r.publish()
			r.impatient()
			away(r)
			f := r.want(inRelease, good)
			if f.Stale == "" || r.Stats().Stale == 0 {
				t.Errorf("served as fresh: %+v", f)
			}
		})
	}
}

func TestNoGoodRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	r.mirror.Inject("*", aptest.OtherBody([]byte("<html>please log in</html>")))
	if got, _, err := r.read(inRelease); !errors.Is(err, ErrNotRelease) {
		t.Errorf("a portal's page came as InRelease: %q, %v", got, err)
	}
	r.mirror.ClearFaults()
	r.mirror.Down()
	var away *mirror.UnreachableError
	if _, _, err := r.read(inRelease); !errors.As(err, &away) {
		t.Errorf("got %v, want an UnreachableError", err)
	}
}

func TestMissingRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoInRelease: true})
	for range 3 {
		_, _, err := r.read(inRelease)
		var status *mirror.StatusError
		if !errors.As(err, &status) || status.Code != 404 {
			t.Fatalf("got %v, want the mirror's 404", err)
		}
	}
	if n := r.mirror.Requests("*InRelease"); n != 1 {
		t.Errorf("the mirror was asked %d times for what it does not have", n)
	}
}

// Release and Release.gpg are two files that make one thing.
func TestReleasePair(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoInRelease: true}, noTTL)
	release, f, err := r.read("dists/stable/Release")
	must(t, err)
	pin := f.Release

	// Another client makes the box learn the next generation.
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	if newer, _, err := r.read("dists/stable/Release"); err != nil || bytes.Equal(newer, release) {
		t.Fatalf("no new generation: %v", err)
	}
	f, err = r.get(t.Context(), "dists/stable/Release.gpg", pin)
	must(t, err)
	defer f.Body.Close()
	sig, err := io.ReadAll(f.Body)
	must(t, err)
	if _, err := r.catalog.CheckRelease(r.at(inRelease).Dir(), releaseFiles(release, sig)); err != nil {
		t.Errorf("the first client's Release and Release.gpg do not fit: %v", err)
	}
	if f.Size != int64(len(sig)) {
		t.Errorf("a signature of %d bytes, said to have %d", len(sig), f.Size)
	}
}

// A client that asks for InRelease and then for the pair gets all three, in
// whichever order.
func TestReleasePairAfterInRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	_, f, err := r.read(inRelease)
	must(t, err)
	f, err = r.get(t.Context(), "dists/stable/Release.gpg", f.Release)
	must(t, err)
	defer f.Body.Close()
	sig, err := io.ReadAll(f.Body)
	must(t, err)
	release, _, err := r.read("dists/stable/Release")
	must(t, err)
	if _, err := r.catalog.CheckRelease(r.at(inRelease).Dir(), releaseFiles(release, sig)); err != nil {
		t.Errorf("Release and Release.gpg do not fit: %v", err)
	}
}

// The mirror is updated between the box's two requests.
func TestReleasePairAcrossAnUpdate(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoInRelease: true}, noTTL)
	once := sync.OnceFunc(func() {
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
	})
	r.mirror.OnRequest(func(q aptest.Request) {
		if strings.HasSuffix(q.Path, "Release.gpg") {
			once()
		}
	})
	release, f, err := r.read("dists/stable/Release")
	must(t, err)
	g, ok := r.catalog.Generation(f.Suite, f.Release)
	if !ok || !g.Signed || digest.Of(release) != g.ID {
		t.Errorf("generation %+v, known %v", g, ok)
	}
}

func TestReleaseWithoutRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.disk.Full(true)
	for range 2 {
		if _, f, err := r.read(inRelease); err != nil || f.Size == 0 {
			t.Fatalf("no head with a full disk: %v", err)
		}
	}
	r.disk.Full(false)
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
}

// Between any two requests the mirror goes on to the next generation. With
// by-hash a client that was given one Release gets that one's indices.
func TestGenerationsAreNotMixed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	for _, byHash := range []bool{true, false} {
		r := newRig(t, aptest.Suite{NoByHash: !byHash}, noTTL)
		n := 0
		r.mirror.OnRequest(func(aptest.Request) {
			n++
			r.archive.Add(aptest.Package{Name: "small", Version: strings.Repeat("1", n), Size: small})
			r.publish()
		})
		for range 5 {
			head, f, err := r.read(inRelease)
			must(t, err)
			const index = "dists/stable/main/binary-amd64/Packages.xz"
			p, err := r.get(t.Context(), index, f.Release)
			if !byHash && errors.Is(err, ErrMoved) {
				continue // in words; never another generation's bytes
			}
			must(t, err)
			b, err := io.ReadAll(p.Body)
			must(t, err)
			p.Body.Close()
			if !bytes.Contains(head, []byte(digest.Of(b).String())) {
				t.Fatalf("by-hash %v: an index of another generation than the client's Release", byHash)
			}
		}
	}
}

// A Release file that other suites have pinned as often as a blob can be is
// served all the same.
func TestReleaseWithTooManyPins(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	resp, err := r.box.NewMirror(r.metered(time.Minute)).Get(t.Context(), mirror.Request{URL: r.at(inRelease).String()})
	must(t, err)
	want, err := io.ReadAll(resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	d := digest.Of(want)
	must(t, r.store.Put(d, int64(len(want)), bytes.NewReader(want), store.Meta{}))
	for i := 0; err == nil; i++ {
		err = r.store.Pin(d, fmt.Sprint("suite ", i))
	}
	if !errors.Is(err, store.ErrTooManyPins) {
		t.Fatal(err)
	}
	r.want(inRelease, want)
}

func TestOffline(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	must(t, r.Fetcher.Close())
	o := r.options
	o.Mirror = mirror.New(mirror.Options{Offline: true})
	t.Cleanup(func() { o.Mirror.Close() })
	r.Fetcher = New(o)
	t.Cleanup(func() { r.Fetcher.Close() })
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	if _, _, err := r.read(r.packageAt("large")); !errors.Is(err, mirror.ErrOffline) {
		t.Errorf("got %v, want ErrOffline", err)
	}
}
