package siteledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
)

// maxSketch is how many hashes a Sketch has: with 2048 the number of what they were taken
// from is estimated within 2.2 % (one standard deviation, 1/√2046), and a message is
// 16 KiB.
const maxSketch = 2048

// Sketch is the least hashes of a set in ascending order, at most maxSketch of them: all
// hashes of a small set, of a larger one a sample from which its size, and that of a
// union, follows. (Bar-Yossef et al., "Counting distinct elements in a data stream",
// 2002; it is the k minimum values sketch.)
type Sketch []uint64

// newSketch makes a Sketch of hashes, which it sorts.
func newSketch(hashes []uint64) Sketch {
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	return slices.Clip(Sketch(hashes[:min(len(hashes), maxSketch)]))
}

// remove removes h, and reports whether it was there.
func (k *Sketch) remove(h uint64) bool {
	i, found := slices.BinarySearch(*k, h)
	if found {
		*k = slices.Delete(slices.Clone(*k), i, i+1)
	}
	return found
}

// append encodes the hashes as 8 bytes each, big-endian.
func (k Sketch) append(b []byte) []byte {
	for _, h := range k {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

// parseSketch reads what append wrote.
func parseSketch(b []byte) (Sketch, error) {
	if len(b)%8 != 0 || len(b) > 8*maxSketch {
		return nil, malformed("a set of %d bytes", len(b))
	}
	k := slices.Grow(Sketch(nil), len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		h := binary.BigEndian.Uint64(b)
		if n := len(k); n > 0 && h <= k[n-1] {
			return nil, malformed("a set that is not in order")
		}
		k = append(k, h)
	}
	return k, nil
}

// set is what one box tells of how many clients or packages it has.
type set struct {
	count int64
	told  bool // hashes has them
	Sketch
}

// complete reports whether the hashes are those of all.
func (s set) complete() bool { return s.told && int64(len(s.Sketch)) == s.count }

// union returns how many all sets have together, each once, and whether that is exact.
// It is never more than the sum of the counts, nor less than the greatest of them. Sets
// of which the hashes are not told count in addition.
func union(sets []set) (count int64, exact bool) {
	exact = true
	var hashes []uint64
	var sum, most, untold int64
	for _, s := range sets {
		sum += s.count
		most = max(most, s.count)
		exact = exact && s.complete()
		if !s.told {
			untold += s.count
			continue
		}
		hashes = append(hashes, s.Sketch...)
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	told := int64(len(hashes))
	sampled := slices.ContainsFunc(sets, func(s set) bool { return s.told && !s.complete() })
	if sampled && len(hashes) >= maxSketch {
		share := float64(hashes[maxSketch-1]) / math.MaxUint64 // of all hashes, that these are
		told = int64(min((maxSketch-1)/share, float64(sum)))
	}
	return max(most, min(told+untold, sum)), exact
}

// hash stands for a client in the site.
func (s *Site) hash(client netip.Addr) uint64 {
	return s.hashOf("client", client.Unmap().WithZone("").String())
}

func (s *Site) hashOf(kind, name string) uint64 {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write([]byte(kind + "\n" + name))
	return binary.BigEndian.Uint64(mac.Sum(nil))
}
