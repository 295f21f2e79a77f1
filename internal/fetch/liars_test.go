package fetch

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// suspect is a box of a liar's test and what is to be said of it.
type suspect struct {
	name   string
	change func(*box)
	lies   bool
}

// lies makes a box send wrong bytes in some pieces and tell a manifest that
// fits them.
func lies(in ...int) func(*box) {
	return func(b *box) {
		b.wrong = in
		b.manifest = func() ([]digest.Digest, error) { return pieces.Digests(bytes.NewReader(b.lie())) }
	}
}

// lie is the file as the box sends it.
func (b *box) lie() []byte {
	data := bytes.Clone(b.data)
	for _, i := range b.wrong {
		data[i*peer.PieceSize+5] ^= 0xff
	}
	return data
}

// paced makes a box slow enough that others get their share.
func paced(change func(*box)) func(*box) {
	return func(b *box) {
		b.rate = 16 * mib
		if change != nil {
			change(b)
		}
	}
}

func distant(change func(*box)) func(*box) {
	return paced(func(b *box) {
		b.far = true
		if change != nil {
			change(b)
		}
	})
}

func TestLiarsAreFoundOut(t *testing.T) {
	t.Parallel()
	all := []int{0, 1, 2}
	cases := map[string][]suspect{
		"two-agree": {
			{"honest", paced(nil), false}, {"good", paced(nil), false},
			{"liar", paced(func(b *box) { b.wrong = all }), true},
		},
		"manifests-differ": {
			{"honest", paced(nil), false}, {"liar", paced(lies(all...)), true},
		},
		"no-manifests": {
			{"honest", paced(func(b *box) { b.manifest = noManifest }), false},
			{"liar", paced(func(b *box) { b.wrong, b.manifest = all, noManifest }), true},
		},
		"with-mirror": {
			{"liar", distant(func(b *box) { b.wrong = all }), true},
		},
		"only-the-manifest": {
			{"liar", paced(func(b *box) {
				b.manifest = func() ([]digest.Digest, error) { return make([]digest.Digest, peer.Pieces(int64(len(b.data)))), nil }
			}), true},
			{"honest", paced(nil), false}, {"good", paced(nil), false},
		},
		"short-manifest": {
			{"honest", paced(nil), false}, {"good", paced(nil), false},
			{"odd", paced(func(b *box) { b.manifest = func() ([]digest.Digest, error) { return make([]digest.Digest, 1), nil } }), false},
		},
		"conspiracy": {
			{"liar", paced(lies(all...)), true}, {"accomplice", paced(lies(all...)), true},
			{"honest", paced(nil), false}, {"good", paced(nil), false},
		},
		"nothing-but-liars": {
			{"liar", paced(lies(0)), true}, {"accomplice", paced(lies(0)), true},
		},
		"size": {
			{"honest", paced(nil), false}, {"good", paced(nil), false},
			{"liar", paced(func(b *box) { b.size = 5 }), true},
		},
		"endless": {
			{"honest", paced(nil), false}, {"odd", paced(func(b *box) { b.endless = true }), false},
		},
		"alone": {
			{"liar", paced(lies(0)), true},
		},
	}
	sizes := make(map[string]int)
	for name := range cases {
		sizes[name] = 9 * mib
	}
	r := newSwarmRig(t, sizes)
	r.buffers = pieces.NewBuffers(100)
	r.mirror.Inject("*/with-mirror_*", aptest.Slow(16*mib))
	group := make(map[string][]*box)
	var reads sync.WaitGroup
	for name, parties := range cases {
		for _, p := range parties {
			group[name] = append(group[name], r.add(r.seeds, name, p.name, p.change))
		}
		reads.Go(func() {
			r.right(name, 5)
			r.right(name, 1) // from the store now
			if !r.held(r.digest(name)) {
				t.Errorf("%s: not held", name)
			}
		})
	}
	reads.Wait()
	r.quiet()
	for name, parties := range cases {
		for i, p := range parties {
			b := group[name][i]
			if slices.Contains(b.faults(), peer.Lied) != p.lies || b.blamed() != p.lies {
				t.Errorf("%s: %s has faults %v, lies: %v", name, b, b.faults(), p.lies)
			}
		}
	}
	if u := r.store.Usage(); u.Partial != 0 {
		t.Errorf("%d bytes are left in partial files", u.Partial)
	}
}

func noManifest() ([]digest.Digest, error) { return nil, errors.New("no manifest today") }

// A liar in a small file costs the client nothing.
func TestSmallLieIsHealedUnseen(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	liar := r.add(r.seeds, "small", "liar", lies(0))
	r.right("small", 1)
	if got := liar.faults(); !slices.Contains(got, peer.Lied) {
		t.Errorf("faults %v", got)
	}
}

// A liar's bytes do not make the box believe that the mirror was updated.
func TestLieWhileTheMirrorIsUnreachable(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	r.add(r.seeds, "small", "liar", lies(0))
	r.add(r.seeds, "small", "short", func(b *box) { b.size = 5 })
	r.mirror.Down()
	var away *mirror.UnreachableError
	if _, err := r.compare("small"); !errors.As(err, &away) {
		t.Errorf("got %v, want that the mirror does not answer", err)
	}
}

// A box that passes on a download it has not verified is no liar if what it
// got was wrong.
func TestUnverifiedBytesAreNoLie(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"stream": 9 * mib, "piece": 9 * mib, "whole": 3 * mib})
	r.mirror.Inject("*/piece_*", aptest.Slow(2*mib))
	r.timeouts.downloader = 2 * time.Second
	half := func(b *box) { b.wrong = []int{0}; b.grow(int64(len(b.data)) / 2); b.limit = int64(len(b.data)) / 2 }
	owner := r.add(r.owners, "stream", "owner", half)
	relay := r.add(r.downloaders, "piece", "relay", func(b *box) {
		b.wrong, b.far = []int{0, 1}, true
		b.grow(int64(len(b.data)) - 1)
	})
	r.add(r.far, "piece", "honest", func(b *box) { b.far, b.rate = true, 2*mib })
	// Who sends it all, though, has had the chance to verify it.
	liar := r.add(r.owners, "whole", "liar", lies(0))
	for _, pkg := range []string{"stream", "piece", "whole"} {
		r.right(pkg, 5)
	}
	r.quiet()
	for _, b := range []*box{owner, relay} {
		if got := b.faults(); slices.Contains(got, peer.Lied) || !slices.Contains(got, peer.Failed) {
			t.Errorf("%s has faults %v", b, got)
		}
	}
	if got := liar.faults(); !slices.Contains(got, peer.Lied) {
		t.Errorf("%s has faults %v", liar, got)
	}
}

// Wrong bytes of the mirror are not laid at a peer's door.
func TestMirrorsLieWithPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 11 * mib})
	r.mirror.Inject("*/big_*", aptest.Slow(8*mib), aptest.Corrupt(mib, 4), aptest.Corrupt(5*mib, 4), aptest.Corrupt(9*mib, 4))
	b := r.add(r.far, "big", "b", func(b *box) { b.far, b.rate = true, 4*mib })
	r.right("big", 5)
	r.quiet()
	if b.blamed() {
		t.Errorf("faults %v", b.faults())
	}
	if got := r.origins("big"); got[ledger.FromStore] != int64(len(r.data("big"))) {
		t.Errorf("by origin %v", got)
	}
}

// Past a full disk, too.
func TestLiarPastTheFullDisk(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	liar := r.add(r.seeds, "large", "liar", lies(0))
	r.disk.Full(true)
	r.mirror.Inject("*", aptest.Status(404))
	if n, err := r.compare("large"); !errors.Is(err, ErrWrongBytes) || n >= int64(len(r.data("large"))) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if !slices.Contains(liar.faults(), peer.Lied) {
		t.Errorf("faults %v", liar.faults())
	}
}
