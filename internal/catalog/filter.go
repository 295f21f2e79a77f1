package catalog

import "github.com/cespare/xxhash/v2"

// filter is a Bloom filter over the paths of a table: it recognizes nearly all
// paths that a table does not have. A look-up searches the tables of all suites of
// an archive, and all but one lack the path; finding that out costs some 5 µs on
// disk, some 10 ns in a filter.
//
// Of 16 bits a row, 4 are set: one in 400 absent paths is a false positive.
// Tables of earlier versions have 10 bits a row.
type filter []byte

const (
	filterBits   = 16 // for each row
	filterHashes = 4
	// maxFilter is its largest size in bytes. The filters of maxRows rows take
	// 20 MB. From 260,000 rows in one table on they grow less precise.
	maxFilter = 512 << 10
)

func hashPath(p string) uint64 { return xxhash.Sum64String(p) }

func newFilter(rows int) filter {
	return make(filter, min(max(rows*filterBits/8, 8), maxFilter))
}

func (f filter) add(h uint64) {
	for i := range uint64(filterHashes) {
		bit := f.bit(h, i)
		f[bit/8] |= 1 << (bit % 8)
	}
}

// has reports whether the path with hash h may have been added.
func (f filter) has(h uint64) bool {
	for i := range uint64(filterHashes) {
		if bit := f.bit(h, i); f[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// bit derives the i-th bit of h: the halves of one good hash are as good as
// many (Kirsch and Mitzenmacher, 2006).
func (f filter) bit(h, i uint64) uint64 {
	return (h + i*(h>>32|1)) % (uint64(len(f)) * 8)
}
