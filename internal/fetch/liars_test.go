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
			{"liar", lies(0), true}, // at once, or the mirror may be asked beside it
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
			// On a busy machine another box may have sent what it would have lied about.
			lied := p.lies && (b.gave() > 0 || b.stated.Load() || b.size != 0)
			if slices.Contains(b.faults(), peer.Lied) != lied || b.blamed() != lied {
				t.Errorf("%s: %s has faults %v, lies: %v", name, b, b.faults(), p.lies)
			}
		}
	}
	if u := r.store.Usage(); u.Partial != 0 {
		t.Errorf("%d bytes are left in partial files", u.Partial)
	}
}

// Of six boxes one sends wrong bytes, or three agree on a false file: the client gets
// its file in one go, without the mirror, and what is got again is little.
func TestLiarsAmongSix(t *testing.T) {
	t.Parallel()
	cases := map[string]map[int]func(*box){
		"one-wrong":  {2: func(b *box) { b.wrong = []int{1, 2, 3} }},
		"first-lies": {0: lies(1, 2, 3)},
		"three":      {0: lies(2), 2: lies(2), 3: lies(2)},
		"stuck":      {1: func(b *box) { b.limit, b.silent = peer.PieceSize*99/100, true }},
	}
	sizes := make(map[string]int)
	for name := range cases {
		sizes[name] = 20 * mib
	}
	r := newSwarmRig(t, sizes)
	r.buffers = pieces.NewBuffers(100)
	for name, liars := range cases {
		var all []*box
		for i := range 6 {
			all = append(all, r.add(r.seeds, name, string(rune('a'+i)), paced(liars[i])))
		}
		r.right(name, 1)
		r.quiet()
		size := int64(len(r.data(name)))
		if n := r.fromMirror(name); n != 0 {
			t.Errorf("%s: the mirror sent %d of %d bytes", name, n, size)
		}
		var gave, right int64
		for i, b := range all {
			gave, right = gave+b.gave(), right+b.right()
			if liars[i] == nil && b.blamed() {
				t.Errorf("%s: honest box %s has faults %v", name, b, b.faults())
			}
		}
		if gave > 3*size { // twice the file; on a busy machine some pieces come from two boxes
			t.Errorf("%s: %d bytes came for %d", name, gave, size)
		}
		if right > size {
			t.Errorf("%s: %d of %d bytes were reported as right", name, right, size)
		}
	}
}

// Clients that have read bytes of the mirror get the right file, too, when peers far away
// send the rest of it wrong.
func TestLiarsAfterTheMirror(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*box){"agree": lies(2, 3, 4), "sent": func(b *box) { b.wrong = []int{2, 3, 4} }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSwarmRig(t, map[string]int{"big": 20 * mib})
			r.mirror.Inject("*/big_*", aptest.Slow(8*mib))
			var all []*box
			for i := range 3 {
				all = append(all, r.add(r.far, "big", string(rune('a'+i)), distant(lie)))
			}
			r.right("big", 1)
			r.quiet()
			for _, b := range all {
				accomplice := b.manifest == nil || b.stated.Load() // one is known by its manifest, if it was asked for that
				if b.gave() > 0 && accomplice && !b.blamed() {
					t.Errorf("%s is not blamed", b)
				}
			}
		})
	}
}

// After two wrong files what is disputed comes from the mirror, and nothing else.
func TestDisputedPiecesOfTheMirror(t *testing.T) {
	t.Parallel()
	const pkg = "big"
	r := newSwarmRig(t, map[string]int{pkg: 28 * mib})
	for i, change := range []func(*box){lies(1), lies(3), lies(5)} {
		r.add(r.seeds, pkg, string(rune('a'+i)), paced(change))
	}
	honest := r.add(r.seeds, pkg, "honest", paced(nil))
	r.right(pkg, 1)
	r.quiet()
	if n := r.fromMirror(pkg); n > 3*peer.PieceSize {
		t.Errorf("the mirror sent %d bytes, want at most three pieces", n)
	}
	if honest.blamed() {
		t.Errorf("honest box has faults %v", honest.faults())
	}
}

// Once the file is verified each peer is told how much of it it has sent, in pieces
// and in streams.
func TestRightBytesAreReported(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"big": 20 * mib})
	for _, name := range []string{"small", "big"} {
		a, b := r.add(r.seeds, name, "a", paced(nil)), r.add(r.seeds, name, "b", paced(nil))
		r.right(name, 1)
		r.quiet()
		if n := a.right() + b.right() + r.fromMirror(name); n != int64(len(r.data(name))) {
			t.Errorf("%s: %d bytes were reported as right, want %d", name, n, len(r.data(name)))
		}
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
		// On a busy machine the mirror may have sent what the relay would have lied about.
		if got := b.faults(); slices.Contains(got, peer.Lied) || b.gave() > 0 && !slices.Contains(got, peer.Failed) {
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

// Past a full disk peers send only what is verified before its first byte leaves.
func TestLiarPastTheFullDisk(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	liar := r.add(r.seeds, "small", "liar", lies(0))
	unasked := r.add(r.seeds, "large", "unasked", lies(0))
	r.disk.Full(true)
	r.right("large", 1) // of the mirror
	r.mirror.Inject("*", aptest.Status(404))
	if n, err := r.compare("small"); !errors.Is(err, ErrWrongBytes) || n > 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if !slices.Contains(liar.faults(), peer.Lied) {
		t.Errorf("faults %v", liar.faults())
	}
	if n, err := r.compare("large"); err == nil || n > 0 {
		t.Errorf("without a mirror: %d bytes, %v", n, err)
	}
	if unasked.blamed() {
		t.Errorf("%s has faults %v", unasked, unasked.faults())
	}
}
