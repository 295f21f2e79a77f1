package siteledger

import (
	"math"
	"net/netip"
	"testing"
)

// clients returns the hashes of n addresses from the first one on.
func clients(s *Site, first, n int) (hashes []uint64) {
	for i := first; i < first+n; i++ {
		hashes = append(hashes, s.hash(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	return hashes
}

func told(hashes []uint64) set { return set{int64(len(hashes)), true, newSketch(hashes)} }

func TestUnion(t *testing.T) {
	t.Parallel()
	s := &Site{Options: Options{Secret: []byte("secret")}}
	for _, c := range []struct {
		name  string
		sets  []set
		want  int64
		exact bool
	}{
		{"none", nil, 0, true},
		{"empty", []set{{told: true}}, 0, true},
		{"one", []set{told(clients(s, 0, 5))}, 5, true},
		{"apart", []set{told(clients(s, 0, 5)), told(clients(s, 5, 5))}, 10, true},
		{"moved", []set{told(clients(s, 0, 5)), told(clients(s, 3, 5))}, 8, true},
		{"complete sets are more than a sample", []set{told(clients(s, 0, 2000)), told(clients(s, 1000, 2000))}, 3000, true},
		{"untold", []set{told(clients(s, 0, 5)), {count: 3}}, 8, false},
		{"sampled", []set{told(clients(s, 0, 20_000))}, 20_000, false},
		{"sampled and moved", []set{told(clients(s, 0, 10_000)), told(clients(s, 5000, 10_000))}, 15_000, false},
		{"sampled and complete", []set{told(clients(s, 0, 10_000)), told(clients(s, 9_900, 200))}, 10_100, false},
	} {
		got, exact := union(c.sets)
		off := math.Abs(float64(got-c.want)) / max(float64(c.want), 1)
		// Three times the standard deviation; what the hashes are does not change.
		if exact != c.exact || off > 0.066 || exact && got != c.want {
			t.Errorf("%s: %d, exact %t; want %d, %t", c.name, got, exact, c.want, c.exact)
		}
	}
	// A box that lies about its hashes cannot make the number greater than the sum.
	low := set{5000, true, newSketch(hashesUpTo(maxSketch))}
	if got, _ := union([]set{low, told(clients(s, 0, 100))}); got != 5100 {
		t.Errorf("%d clients, want the sum, 5100", got)
	}
}

func hashesUpTo(n int) (hashes []uint64) {
	for i := range n {
		hashes = append(hashes, uint64(i))
	}
	return hashes
}
