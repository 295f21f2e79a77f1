package peer_test

import (
	"testing"

	"millpond/internal/peer"
)

func TestPieces(t *testing.T) {
	for _, c := range []struct {
		size   int64
		pieces int
		last   int64 // length of the last piece
	}{
		{1, 1, 1},
		{peer.PieceSize, 1, peer.PieceSize},
		{peer.PieceSize + 1, 2, 1},
		{3*peer.PieceSize - 1, 3, peer.PieceSize - 1},
	} {
		if got := peer.Pieces(c.size); got != c.pieces {
			t.Errorf("a file of %d bytes has %d pieces, want %d", c.size, got, c.pieces)
		}
		off, n := peer.PieceAt(c.pieces-1, c.size)
		if n != c.last || off+n != c.size {
			t.Errorf("the last piece of %d bytes is %d bytes at %d, want %d", c.size, n, off, c.last)
		}
	}
	if got := peer.Pieces(0); got != 0 {
		t.Errorf("an empty file has %d pieces, want none", got)
	}
}

func TestBitfield(t *testing.T) {
	b := peer.NewBitfield(10)
	b.Set(0)
	b.Set(9)
	if len(b) != 2 || b[0] != 1 || b[1] != 2 {
		t.Fatalf("pieces 0 and 9 are %v, want the low bit first", b)
	}
	for i := range 20 {
		if want := i == 0 || i == 9; b.Has(i) != want {
			t.Errorf("piece %d: %v, want %v", i, b.Has(i), want)
		}
	}
}
