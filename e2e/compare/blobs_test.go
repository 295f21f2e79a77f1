package compare

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The small files: their count is about that of a large site's, and the cold ones come on
// top.
const (
	smallFiles  = 200_000
	coldShare   = 100 // one request in so many is for a file that is not held
	fewerInTest = 500 // the short form has so many times fewer
)

// askedPerSecond is over the rate at which wrk gets small files: a turn asks for no cold file
// twice.
const askedPerSecond = 80_000

// blobsWorks has the subjects serve small files, as they hold more and more of them, and some
// of which they hold none.
func blobsWorks(t *testing.T, r *results) {
	counts, perTurn := []int{1_000, 20_000, smallFiles}, int(r.each.Seconds()*askedPerSecond)
	if r.short {
		counts, perTurn = []int{20, smallFiles / fewerInTest}, 2_000
	}
	held := counts[len(counts)-1]
	sizes := make([]int64, held+r.rounds*perTurn/coldShare)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range sizes {
		sizes[i] = 2_000 + random.Int64N(2_001)
	}
	g, s := newGenerator(t, r), newSite(t, sizes)
	p := panel{title: "3 kB files", axis: "files held"}
	before := 0
	for _, n := range counts {
		more := s.files[before:n]
		before = n
		s.place(more)
		s.hold(slices.DeleteFunc(slices.Clone(s.subjects), func(sub subject) bool {
			return sub.name == millpond || sub.name == bare
		}), more)
		work := fmt.Sprintf("3 kB files, by popularity: %s held", grouped(int64(n)))
		r.describe(work, "Files of 2,000 to 4,000 bytes, all held, asked for over 64 connections, by popularity (Zipf's law, exponent 1.1). "+
			"A turn that does not count comes first: the box was just started with the files in its store, the others have fetched them.")
		paths := s.sequences(r.rounds, n, perTurn, false)
		if !r.short {
			s.warm(g, paths[0])
		}
		s.unasked(func() {
			r.turns(t, work, s.subjects, func(sub subject, round int) (figures, error) {
				return g.turn(t.Context(), sub, s.mirror, request{paths: paths[round], connections: 64})
			})
		})
		p.points = append(p.points, point{float64(n), work})
	}
	r.plot(p)

	work := fmt.Sprintf("mixed trace of %s files, 1 %% cold: 200 clients", grouped(int64(held)))
	r.describe(work, "As the last, over 200 connections, and each hundredth request is for a file that nobody has asked for yet. "+
		"The mirror is on loopback and has the same two cores. The bare server holds all, and has no mirror.")
	paths := s.sequences(r.rounds, held, perTurn, true)
	r.turns(t, work, s.subjects, func(sub subject, round int) (figures, error) {
		return g.turn(t.Context(), sub, s.mirror, request{paths: paths[round], connections: 200})
	})
	r.expect(target{work: work, measure: "rate", against: "nginx", limit: 1.0, atLeast: true, what: "rate of nginx"})
	r.expect(target{work: work, measure: "MB", limit: 400, what: "MB resident after it"})
}

// warm has a turn of each subject that does not count.
func (s *site) warm(g generator, paths string) {
	s.t.Helper()
	for _, sub := range s.subjects {
		if _, err := g.turn(s.t.Context(), sub, s.mirror, request{paths: paths, connections: 64}); err != nil {
			s.t.Fatalf("%s: %v", sub.name, err)
		}
	}
}

// exponent is the popularity's: the file of rank k is asked for k^-1.1 as often as the first.
const exponent = 1.1

// sequences are files with the paths of each round's requests, the same for each subject: of
// the first n files by popularity, and with each coldShare-th of a file after them, which no
// other request is for.
func (s *site) sequences(rounds, n, requests int, cold bool) []string {
	s.t.Helper()
	dir, random, next := s.t.TempDir(), rand.New(rand.NewPCG(3, uint64(n))), n
	popular := rand.NewZipf(random, exponent, 1, uint64(n-1))
	names := make([]string, rounds)
	for round := range names {
		var b strings.Builder
		for i := range requests {
			pick := int(popular.Uint64())
			if cold && i%coldShare == coldShare-1 {
				pick, next = next, next+1
			}
			b.WriteString(s.files[pick].path + "\n")
		}
		names[round] = filepath.Join(dir, fmt.Sprint(round))
		write(s.t, names[round], b.String())
	}
	return names
}
