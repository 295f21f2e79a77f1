package peer

// PieceSize is how much of a large file is taken from one source at a time, in
// bytes. It is part of the protocol: all boxes of a swarm must agree on it.
const PieceSize = 4 << 20

// Pieces is how many pieces a file of size bytes has.
func Pieces(size int64) int { return int((size + PieceSize - 1) / PieceSize) }

// PieceAt returns where piece i of a file of size bytes begins, and its length.
func PieceAt(i int, size int64) (off, n int64) {
	off = int64(i) * PieceSize
	return off, min(PieceSize, size-off)
}

// Bitfield says which pieces of a file are there: bit i of byte i/8, the low
// bit first, as it is sent between boxes.
type Bitfield []byte

// NewBitfield returns an empty bitfield for n pieces.
func NewBitfield(n int) Bitfield { return make(Bitfield, (n+7)/8) }

// Has reports whether piece i is there. Pieces past the end are not.
func (b Bitfield) Has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

// Set adds piece i.
func (b Bitfield) Set(i int) { b[i/8] |= 1 << (i % 8) }
