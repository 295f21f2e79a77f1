package main

import (
	"math/rand/v2"
	"sort"
)

// Popularity of packages, as the share of systems that have the one of rank r:
//
//	p(r) = 1 / (1 + (r/r0)²)
//
// Everybody has the head, and the tail falls with the square of the rank. That is the
// shape of Debian's by_inst list. Eight of its lines, from some 70,000 systems, are
// quoted in a message of 3 February 2008 to the mailing list of Git (<vpqodayrsag.fsf@bauges.imag.fr>;
// popcon.debian.org/by_inst itself changes daily). The law with r0 = 560 against them:
//
//	rank    installed   share    law
//	  890      22,659   32.4 %   28.4 %
//	  940      18,888   27.0 %   26.2 %
//	2,423       3,720    5.3 %    5.1 %
//	3,480       1,778    2.5 %    2.5 %
//	3,989       1,344    1.9 %    1.9 %
//	4,232       1,198    1.7 %    1.7 %
//	4,500       1,067    1.5 %    1.5 %
//	7,363         417    0.6 %    0.6 %
//
// The number of systems is an estimate: a year later there were 81,600 (Nussbaum, March
// 2013, has the shares of releases). Another one shifts r0 and leaves the exponent, which
// between ranks 2,423 and 7,363 is 1.97. The mean system of the law has π/2 × r0 packages,
// 880 then. Systems have grown with the archive; here r0 is such that they have
// installedMean.

// law tells how popular ranks are.
type law struct {
	share []float64 // by rank
	sums  []float64 // of shares, up to and with a rank
}

// newLaw returns the law for so many packages of which a client has so many in the mean.
func newLaw(packages int, mean float64) law {
	low, high := 0.0, float64(packages)
	for range 60 { // r0 by bisection
		r0 := (low + high) / 2
		if sum := total(packages, r0); sum < mean {
			low = r0
		} else {
			high = r0
		}
	}
	l := law{share: make([]float64, packages), sums: make([]float64, packages)}
	sum := 0.0
	for r := range packages {
		l.share[r] = share(r, high)
		sum += l.share[r]
		l.sums[r] = sum
	}
	return l
}

func share(rank int, r0 float64) float64 {
	x := float64(rank) / r0
	return 1 / (1 + x*x)
}

func total(packages int, r0 float64) (sum float64) {
	for r := range packages {
		sum += share(r, r0)
	}
	return sum
}

// set draws the ranks that a system has.
func (l law) set(rnd *rand.Rand) (ranks []int) {
	for r, p := range l.share {
		if rnd.Float64() < p {
			ranks = append(ranks, r)
		}
	}
	return ranks
}

// one draws a rank, each as often as it is popular.
func (l law) one(rnd *rand.Rand) int {
	at := rnd.Float64() * l.sums[len(l.sums)-1]
	return min(sort.SearchFloat64s(l.sums, at), len(l.sums)-1)
}
