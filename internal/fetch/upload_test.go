package fetch

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// download reads what the box gives a peer of d.
func (r *rig) download(by peer.Asker, d digest.Digest, start peer.Fetch) ([]byte, error) {
	u, err := r.Open(r.t.Context(), by, d, peer.Request{Fetch: start})
	if err != nil {
		return nil, err
	}
	defer u.Close()
	return io.ReadAll(u)
}

func TestOpenOnlyWhatIsShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.archive.SignWith(aptest.NewKey("stranger"))
	r.publish()
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	head, _, err := r.read("dists/stable/InRelease")
	must(t, err)
	for name, d := range map[string]digest.Digest{
		"held, of a stranger's archive":     digest.Of(r.files["small"].Data),
		"not held, of a stranger's archive": digest.Of(r.files["large"].Data),
		"a head":                            digest.Of(head),
		"unknown":                           digest.Of([]byte("x")),
	} {
		for _, start := range []peer.Fetch{peer.NoFetch, peer.FetchAnywhere} {
			if _, err := r.Open(t.Context(), local, d, peer.Request{Fetch: start}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, start %v: %v", name, start, err)
			}
		}
		if _, err := r.Manifest(t.Context(), local, d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("manifest of what is %s: %v", name, err)
		}
		if _, _, err := r.Pieces(local, d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("pieces of what is %s: %v", name, err)
		}
	}
	if !r.held(digest.Of(r.files["small"].Data)) || r.Stats().Running != 0 {
		t.Error("the premises are wrong")
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	file := r.files["large"].Data
	d := digest.Of(file)
	if _, err := r.download(local, d, peer.NoFetch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("neither held nor on its way, and not counted on: %v", err)
	}
	// The box is counted on to fetch it; another joins.
	stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large/2))
	a, err := r.Open(t.Context(), local, d, peer.Request{Fetch: peer.FetchAnywhere})
	must(t, err)
	defer a.Close()
	b, err := r.Open(t.Context(), local, d, peer.Request{Fetch: peer.NoFetch})
	must(t, err)
	defer b.Close()
	if a.Size() != int64(len(file)) {
		t.Errorf("size %d", a.Size())
	}
	head := make([]byte, large/4)
	_, err = io.ReadFull(a, head) // while the mirror owes the rest
	must(t, err)
	_, err = b.Seek(1000, io.SeekStart)
	must(t, err)
	stall.Release()
	rest, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(append(head, rest...), file) {
		t.Errorf("%d bytes and %d, %v", len(head), len(rest), err)
	}
	if rest, err := io.ReadAll(b); err != nil || !bytes.Equal(rest, file[1000:]) {
		t.Errorf("a range of what is on its way: %d bytes, %v", len(rest), err)
	}
	if n := r.mirror.Requests("*/large*"); n != 1 {
		t.Errorf("%d requests of the mirror", n)
	}
	if got, err := r.download(local, d, peer.NoFetch); err != nil || !bytes.Equal(got, file) {
		t.Errorf("held: %d bytes, %v", len(got), err)
	}
}

// What a peer reads first is still credited to the client that reads it.
func TestUploadsCountForNoClient(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large-1))
	lent, err := r.Open(t.Context(), local, r.digest("large"), peer.Request{Fetch: peer.FetchAnywhere})
	must(t, err)
	must(t, readSome(lent, large/2))
	stall.Release()
	if got := r.origins("large"); got[ledger.FromMirror] < large/2 {
		t.Errorf("by origin %v", got)
	}
	lent.Close()
}

// A box asked for an index it has not read learns it on the way.
func TestUploadTeaches(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	_, _, err := r.read("dists/stable/InRelease")
	must(t, err)
	index := r.archive.Publish(time.Now().Add(-time.Hour)).File("dists/stable/main/binary-amd64/Packages.xz")
	if got, err := r.download(local, digest.Of(index), peer.FetchAnywhere); err != nil || !bytes.Equal(got, index) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	r.running.Wait()
	if _, ok := r.shared(digest.Of(r.files["small"].Data), peer.Stranger); !ok || r.Stats().Learned != 1 {
		t.Errorf("a package of the index is shared: %v; indices learned: %d", ok, r.Stats().Learned)
	}
}

// While the box is itself updating, it may be about to learn of the file.
func TestOpenWaitsWhileLearning(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.timeouts = patientTimeouts
	d := digest.Of(r.files["small"].Data)
	begun := time.Now()
	if _, err := r.Open(t.Context(), local, d, peer.Request{Fetch: peer.FetchAnywhere}); !errors.Is(err, fs.ErrNotExist) || time.Since(begun) > r.timeouts.learnGrace/2 {
		t.Errorf("an idle box answered %v after %s", err, time.Since(begun))
	}
	_, _, err := r.read("dists/stable/InRelease")
	must(t, err)
	hold := r.mirror.Inject("*Packages*", aptest.Hold())
	r.mirror.Inject("*by-hash*", aptest.Hold())
	updated := make(chan error, 1)
	go func() { _, _, err := r.read("dists/stable/main/binary-amd64/Packages.xz"); updated <- err }()
	for r.Stats().Running == 0 {
		time.Sleep(time.Millisecond)
	}
	lent := make(chan error, 1)
	go func() { _, err := r.download(local, d, peer.FetchAnywhere); lent <- err }()
	select {
	case err := <-lent:
		t.Errorf("did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	hold.Release()
	r.mirror.ClearFaults()
	must(t, <-updated)
	must(t, <-lent)
	if _, err := r.Open(t.Context(), local, digest.Of([]byte("x")), peer.Request{Fetch: peer.FetchAnywhere}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown digest: %v", err)
	}
}

// Past a full disk, what is fetched for a peer is passed through to that peer, and
// what is fetched for a client to no peer.
func TestUploadFromAFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.disk.Full(true)
	file := r.files["large"].Data
	if got, err := r.download(local, digest.Of(file), peer.FetchAnywhere); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	f := make(chan error, 1)
	go func() { _, _, err := r.read(r.packageAt("large")); f <- err }()
	must(t, hold.Await(t.Context(), 1))
	u, err := r.Open(t.Context(), local, digest.Of(file), peer.Request{Fetch: peer.FetchAnywhere})
	must(t, err)
	defer u.Close()
	hold.Release()
	if got, err := io.ReadAll(u); err == nil || len(got) > 0 {
		t.Errorf("beside a client: %d bytes, %v", len(got), err)
	}
	must(t, <-f)
}

func TestPiecesOfADownload(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 13 * mib})
	d, size := r.digest("big"), int64(len(r.data("big")))
	stall := r.mirror.InjectTimes(1, "*/big_*", aptest.Stall(9*mib))
	f, err := r.get(t.Context(), r.packageAt("big"), digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	must(t, readSome(f.Body, 9*mib-1))
	n, have, err := r.Fetcher.Pieces(local, d)
	if err != nil || n != size || !slices.Equal(have, []byte{0b0011}) {
		t.Errorf("size %d, pieces %b, %v", n, have, err)
	}
	stall.Release()
	_, err = io.Copy(io.Discard, f.Body)
	must(t, err)
	if _, _, err := r.Fetcher.Pieces(local, d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pieces of a held blob: %v", err)
	}
}

func TestManifestIsKeptAndSwept(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 9 * mib})
	d := r.digest("big")
	if _, err := r.Manifest(t.Context(), local, d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("manifest of what is not held: %v", err)
	}
	r.right("big", 1)
	want, err := pieces.Digests(bytes.NewReader(r.data("big")))
	must(t, err)
	for range 2 {
		if got, err := r.Manifest(t.Context(), local, d); err != nil || !slices.Equal(got, want) || len(got) != 3 {
			t.Errorf("manifest %v, %v", got, err)
		}
	}
	kept := func() bool {
		m, err := kv.GetJSON[[]digest.Digest](r.names, manifestKey(d))
		must(t, err)
		return m != nil
	}
	must(t, r.sweep())
	if !kept() {
		t.Error("the manifest of a held blob is not kept")
	}
	must(t, r.store.Remove(d))
	must(t, r.sweep())
	if kept() {
		t.Error("the manifest of a removed blob is kept")
	}
}
