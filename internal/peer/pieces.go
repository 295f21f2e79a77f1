package peer

// PieceSize is the size in bytes of the pieces in which a large file is
// downloaded. It is part of the protocol: all boxes of a swarm must agree on it.
const PieceSize = 4 << 20

// Pieces returns the number of pieces of a file of size bytes.
func Pieces(size int64) int { return int((size + PieceSize - 1) / PieceSize) }

// PieceAt returns where piece i of a file of size bytes begins, and its length.
func PieceAt(i int, size int64) (off, n int64) {
	off = int64(i) * PieceSize
	return off, min(PieceSize, size-off)
}

// Bitfield is a set of pieces of a file: piece i is bit i%8 of byte i/8, low bit
// first, as boxes send it.
type Bitfield []byte

// NewBitfield returns an empty bitfield for n pieces.
func NewBitfield(n int) Bitfield { return make(Bitfield, (n+7)/8) }

// Has reports whether b contains piece i; false past its end.
func (b Bitfield) Has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

// Set adds piece i.
func (b Bitfield) Set(i int) { b[i/8] |= 1 << (i % 8) }
