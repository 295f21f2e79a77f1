package pieces

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// digests are those of the pieces of b.
func digests(t *testing.T, b []byte) []digest.Digest {
	t.Helper()
	all, err := Digests(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// honest is a server with m's file.
func honest(t *testing.T, name string, m *memory) *server {
	return &server{name: name, data: m.want, manifest: m.right(t)}
}

// right is the manifest of m's file.
func (m *memory) right(t *testing.T) []digest.Digest {
	if m.sums == nil {
		m.sums = digests(t, m.want)
	}
	return m.sums
}

// trusted is how many bytes of piece i cannot be forgotten.
func (m *memory) trusted(i int) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.vouched[i] {
		_, n = peer.PieceAt(i, m.Size())
	}
	return n
}

// falsified is m's file with other bytes in some pieces.
func falsified(m *memory, by byte, in ...int) []byte {
	b := bytes.Clone(m.want)
	for _, i := range in {
		b[i*peer.PieceSize+1] = by
	}
	return b
}

// flight does with Manifests what a flight does.
type flight struct {
	t        *testing.T
	m        *memory
	options  Options
	sources  []Source
	verified int
	liars    map[string]bool // reported after a mismatch
}

func newFlight(t *testing.T, m *memory, sources ...Source) *flight {
	return &flight{t: t, m: m, options: options(m.Size()), sources: sources, liars: make(map[string]bool)}
}

// run downloads until the file is right.
func (f *flight) run() {
	f.t.Helper()
	for range 20 {
		if _, err := Download(f.t.Context(), f.m, f.sources, f.options); err != nil {
			f.t.Fatal(err)
		}
		if n := peer.Pieces(f.m.Size()); len(f.m.from) != n {
			f.t.Fatalf("%d of %d pieces", len(f.m.from), n)
		}
		f.verified++
		if bytes.Equal(f.m.got, f.m.want) {
			return
		}
		f.repair()
	}
	f.t.Fatal("the file never gets right")
}

func (f *flight) repair() {
	have, known := digests(f.t, f.m.got), f.options.Manifests
	wrong, liars := known.Mismatch(have, f.m.trusted)
	if len(wrong) == 0 {
		known.Learn(f.t.Context(), f.sources, f.options.Log, func() {})
		more, others := known.Mismatch(have, f.m.trusted)
		wrong, liars = more, append(liars, others...)
	}
	for _, s := range liars {
		f.liars[s.String()] = true
		f.sources = slices.DeleteFunc(slices.Clone(f.sources), func(o Source) bool { return o == s })
	}
	for _, i := range wrong {
		known.Forgot(i)
		if err := f.m.Forget(i); err != nil {
			f.t.Fatal(err)
		}
	}
}

// wrong are the names of those that the verified file proves wrong, and whether they
// lied.
func (f *flight) wrong() map[string]bool {
	all := make(map[string]bool)
	for _, w := range f.options.Manifests.Wrong(f.m.right(f.t)) {
		all[w.Source.String()] = w.Lied
	}
	return all
}

// What a source sends is compared with the manifest that it states itself.
func TestSourceContradictsItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(4)
		liar := honest(t, "liar", m)
		liar.data = falsified(m, 1, 0, 1, 2, 3)
		good := honest(t, "honest", m)
		// The manifests come first, and the liar sends something before all is there.
		liar.each, good.each = time.Millisecond, 2*time.Millisecond
		f := newFlight(t, m, liar, good)
		f.run()
		if f.verified != 1 || !maps.Equal(f.wrong(), map[string]bool{"liar": true}) {
			t.Errorf("verified %d times; wrong: %v", f.verified, f.wrong())
		}
		if all := f.options.Manifests.Contradictory(); len(all) != 1 || all[0].String() != "liar" {
			t.Errorf("contradictory: %v", all)
		}
		for i, from := range m.from {
			if from != "honest" {
				t.Errorf("piece %d is from %s", i, from)
			}
		}
	})
}

// Of a file that three liars agree on, only what they lied about is got again, whether
// their manifests come before the pieces, between them or after them.
func TestOnlyWhatDiffersIsGotAgain(t *testing.T) {
	t.Parallel()
	for _, states := range []time.Duration{0, 150 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint("manifests after ", states), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testGotAgain(t, states) })
		})
	}
}

func testGotAgain(t *testing.T, states time.Duration) {
	m := newMemory(8)
	lied := []int{2, 5}
	data := falsified(m, 1, lied...)
	all := make([]*server, 6)
	for i := range all {
		if all[i] = honest(t, fmt.Sprint("honest", i), m); i < 3 {
			all[i] = &server{name: fmt.Sprint("liar", i), data: data, manifest: digests(t, data)}
		}
		all[i].each, all[i].states = 100*time.Millisecond, states
	}
	f := newFlight(t, m)
	for _, s := range all {
		f.sources = append(f.sources, s)
	}
	f.run()
	for i, n := range m.writes {
		if slices.Contains(lied, i) {
			n -= 2 // the honest bytes, those of the liars, and these again
		}
		if n > 1 {
			t.Errorf("piece %d was written %d times", i, m.writes[i])
		}
	}
	// The manifest of those that are asked first is in force before the first piece comes.
	if states == 0 && (f.verified != 2 || len(f.liars) == 0 || m.writes[2] != 2 || m.writes[5] != 2) {
		t.Errorf("verified %d times, %v found out, pieces written %v times", f.verified, f.liars, m.writes)
	}
	if f.verified > 3 { // for what came before any manifest, that of the liars, and the right one
		t.Errorf("verified %d times", f.verified)
	}
	for name, lied := range f.wrong() {
		if name[:4] != "liar" || !lied {
			t.Errorf("%s lied: %v", name, lied)
		}
	}
}

// A box that only passes on what it has not verified is wrong, but does not lie.
func TestRelayDoesNotLie(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(6)
		relay := &server{name: "relay", data: falsified(m, 1, 0, 1, 2, 3, 4, 5), relay: true}
		good := honest(t, "honest", m)
		good.each = time.Second
		f := newFlight(t, m, relay, good)
		f.run()
		if !maps.Equal(f.wrong(), map[string]bool{"relay": false}) {
			t.Errorf("wrong: %v", f.wrong())
		}
	})
}

// What a mirror sends counts for more than what any peer states.
func TestMirrorOutranksManifests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(3)
		data := falsified(m, 1, 0, 1, 2)
		member := peer.Standing{Kind: peer.Member, Proven: true}
		liar := &server{name: "liar", data: data, manifest: digests(t, data), standing: member, stuck: true}
		best := honest(t, "mirror", m)
		best.each = 100 * time.Millisecond // the manifest comes first
		f := newFlight(t, m, liar, mirror{best})
		f.run()
		if f.verified != 1 || len(m.vouched) != 3 || !f.wrong()["liar"] {
			t.Errorf("verified %d times, vouched for %v, wrong: %v", f.verified, m.vouched, f.wrong())
		}
	})
}

// A piece is vouched for by a proven member, or two proven peers of different parties.
func TestVouched(t *testing.T) {
	t.Parallel()
	stranger := func(party string) peer.Standing { return peer.Standing{Proven: true, Party: party} }
	for name, c := range map[string]struct {
		standings []peer.Standing
		vouched   bool
	}{
		"unproven":   {[]peer.Standing{{Kind: peer.Member, Party: "a"}, {Kind: peer.Local, Party: "b"}, {Party: "c"}}, false},
		"member":     {[]peer.Standing{{Kind: peer.Member, Proven: true}, {}}, true},
		"one party":  {[]peer.Standing{stranger("a"), stranger("a")}, false},
		"no parties": {[]peer.Standing{stranger(""), stranger("")}, false},
		"two":        {[]peer.Standing{stranger("a"), stranger("b")}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(3)
			var all []Source
			for i, standing := range c.standings {
				s := honest(t, fmt.Sprint(i), m)
				s.standing, s.each = standing, time.Second
				all = append(all, s)
			}
			newFlight(t, m, all...).run()
			if c.vouched != (len(m.vouched) == 3) || !c.vouched && len(m.vouched) > 0 {
				t.Errorf("%s: vouched for %v", name, m.vouched)
			}
		})
	}
}

// A manifest that contradicts bytes that cannot be forgotten is tried once.
func TestContradictionOfTrustedBytes(t *testing.T) {
	t.Parallel()
	m := newMemory(3)
	liar := &server{name: "liar", manifest: digests(t, falsified(m, 1, 1))}
	known := NewManifests(m.Size())
	known.state(liar, liar.manifest)
	have, some := m.right(t), func(i int) int64 { return int64(i) }
	if wrong, liars := known.Mismatch(have, some); !slices.Equal(wrong, []int{1}) || len(liars) > 0 || known.Refuted() > 0 {
		t.Errorf("pieces %v, %d liars", wrong, len(liars))
	}
	if wrong, liars := known.Mismatch(have, some); len(wrong) > 0 || len(liars) > 0 || known.Known() {
		t.Errorf("for the second time: pieces %v, %d liars", wrong, len(liars))
	}
}

// Pieces of which different things are said are disputed, unless a mirror sent them.
func TestDisputed(t *testing.T) {
	t.Parallel()
	m := newMemory(4)
	known, best := NewManifests(m.Size()), mirror{honest(t, "mirror", m)}
	for _, s := range []*server{honest(t, "honest", m), {name: "a", manifest: digests(t, falsified(m, 1, 0, 2))}} {
		known.state(s, s.manifest)
	}
	relay := &server{name: "relay", relay: true}
	known.Sent(relay, 3, digest.Of([]byte("wrong")))
	known.Sent(best, 0, m.right(t)[0])
	if got := known.Disputed(); !slices.Equal(got, []int{2, 3}) || !known.Differ() {
		t.Errorf("disputed: %v", got)
	}
}

// A manifest that proven peers state is preferred to one that more parties state.
func TestRanks(t *testing.T) {
	t.Parallel()
	best := []rank{
		{members: 2, order: 9}, {members: 1, proven: 9}, {proven: 2, order: 9}, {proven: 1, parties: 9},
		{parties: 2, order: 9}, {parties: 1, kind: peer.Member, order: 9}, {parties: 1, kind: peer.Local, sources: 2, order: 9},
		{parties: 1, kind: peer.Local, sources: 1, order: 1}, {parties: 1, kind: peer.Local, sources: 1, order: 2},
	}
	if !slices.IsSortedFunc(best, rank.compare) {
		t.Error("not in order")
	}
}

// A manifest of which nobody sends the pieces keeps nobody away for long.
func TestManifestThatNobodyKeepsIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(5)
			liar := &server{name: "liar", data: m.want, manifest: make([]digest.Digest, 5), stuck: stuck, standing: peer.Standing{Kind: peer.Member, Proven: true}}
			good := honest(t, "honest", m)
			liar.each, good.each = time.Millisecond, 100*time.Millisecond // the manifests come first
			f := newFlight(t, m, liar, good)
			begun := time.Now()
			f.run()
			if took := time.Since(begun); took > 3*time.Second || f.verified != 1 || !f.wrong()["liar"] {
				t.Errorf("stuck %v: took %v, verified %d times, wrong: %v", stuck, took, f.verified, f.wrong())
			}
		})
	}
}

// A source that takes the place of another one goes on after the piece that this one
// was asked for.
func TestStandbyOutlivesThePieceItWasStartedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(8)
		var all []Source
		for i := range MaxSources {
			liar := honest(t, fmt.Sprint("liar", i), m)
			liar.data = falsified(m, 1, 0, 1, 2, 3, 4, 5, 6, 7)
			liar.each = time.Millisecond // each is asked for a piece before one is dropped
			all = append(all, liar)
		}
		standby := honest(t, "standby", m)
		standby.each = time.Millisecond
		f := newFlight(t, m, append(all, standby)...)
		f.run()
		if len(f.wrong()) != MaxSources || f.wrong()["standby"] {
			t.Errorf("wrong: %v", f.wrong())
		}
		for i, from := range m.from {
			if from != "standby" {
				t.Errorf("piece %d is from %s", i, from)
			}
		}
	})
}

// late is a server that does not notice when nobody waits for it any more.
type late struct{ *server }

func (s late) Open(ctx context.Context, off, n int64) (*peer.Stream, error) {
	return s.server.Open(context.WithoutCancel(ctx), off, n)
}

func (s late) Manifest(ctx context.Context) ([]digest.Digest, error) {
	return s.server.Manifest(context.WithoutCancel(ctx))
}

// A download that has ended with all pieces keeps them, whatever comes late: nobody would
// get again what it forgot.
func TestNothingIsForgottenAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(2)
		relay := &server{name: "relay", data: falsified(m, 1, 0, 1), relay: true, each: 100 * time.Millisecond}
		good := honest(t, "honest", m)
		good.each, good.states = 400*time.Millisecond, 300*time.Millisecond
		f := newFlight(t, m, relay, late{good})
		begun := time.Now()
		if _, err := Download(t.Context(), m, f.sources, f.options); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < good.each || !f.options.Manifests.Known() {
			t.Fatalf("the late answers did not come; it took %v", took)
		}
		if len(m.from) != 2 || m.from[0] != "relay" || m.from[1] != "relay" {
			t.Errorf("the pieces are from %v", m.from)
		}
		if f.run(); f.verified != 2 { // the first time for what is there
			t.Errorf("verified %d times", f.verified)
		}
	})
}

// Any mix of sources with one honest seed among them brings the right file.
func TestMixesOfLiars(t *testing.T) {
	t.Parallel()
	seeds := uint64(30)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { testMix(t, seed) })
	}
}

func testMix(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	n := 2 + r.IntN(5)
	m := newMemory(n)
	some := func() []int { // at least one piece
		in := []int{r.IntN(n)}
		for i := range n {
			if r.IntN(3) == 0 {
				in = append(in, i)
			}
		}
		return in
	}
	pact := falsified(m, 7, some()...)
	all := []*server{honest(t, "honest", m)}
	falseManifests := 0
	pacts := 0
	for i := range 1 + r.IntN(9) {
		s := honest(t, fmt.Sprint(i), m)
		switch r.IntN(6) {
		case 0:
			s.name += " honest"
		case 1:
			s.name += " sends wrong bytes"
			s.data = falsified(m, 8, some()...)
		case 2:
			s.name += " lies"
			s.data = falsified(m, byte(10+i), some()...)
			s.manifest = digests(t, s.data)
			falseManifests++
		case 3, 4:
			s.name += " lies as others do"
			s.data, s.manifest = pact, digests(t, pact)
			pacts = 1
		case 5:
			s.name += " is stuck"
			s.stuck = true
		}
		s.each = time.Duration(r.IntN(1000)) * time.Millisecond
		s.standing = peer.Standing{Kind: peer.Kind(r.IntN(3)), Proven: r.IntN(4) == 0, Party: fmt.Sprint(r.IntN(3))}
		if s.standing.Proven && !bytes.Equal(s.data, m.want) {
			s.standing.Proven = false // or clients would have been given it
		}
		all = append(all, s)
	}
	falseManifests += pacts
	r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	sources := make([]Source, len(all))
	var names []string
	for i, s := range all {
		sources[i] = s
		names = append(names, s.name)
	}
	f := newFlight(t, m, sources...)
	begun := time.Now()
	f.run()
	if f.verified > falseManifests+1 {
		t.Errorf("seed %d, %q: verified %d times with %d false manifests", seed, names, f.verified, falseManifests)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("seed %d, %q: took %v", seed, names, took)
	}
	wrong := f.wrong()
	for name := range f.liars {
		if !wrong[name] {
			t.Errorf("seed %d: %s was reported", seed, name)
		}
	}
	for _, s := range all {
		lies := !bytes.Equal(s.data, m.want)
		statedLie := s.stated && !slices.Equal(s.manifest, m.right(t))
		if lied, ok := wrong[s.name]; ok && (!lied || !lies) || statedLie && !ok {
			t.Errorf("seed %d, %q: %s wrong: %v, lied: %v", seed, names, s.name, ok, lied)
		}
	}
}
