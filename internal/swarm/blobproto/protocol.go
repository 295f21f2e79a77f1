// Package blobproto carries blobs between boxes.
//
// The protocol is HTTP/1.1 over a stream, kept alive for the next request.
// It has three requests:
//
//	GET, HEAD /blob/HEX   the bytes; Range with one range, ETag is the digest
//	GET /manifest/HEX     the SHA-256 of each piece, 32 bytes each
//	GET /pieces/HEX       of a download in progress: size (8 bytes, big-endian),
//	                      then a bit for each piece, low bit first
//
// Status 404 means that the box does not have the blob or does not share it; 429
// with Retry-After, that all upload slots are taken. A box sends the header before
// it has the first byte of the body, so that the requester learns within a round
// trip that the request was accepted. An incomplete body ends without its last
// chunk or short of its Content-Length.
//
// A Server divides the upload rate fairly among the peers. A Client checks what
// peers answer and holds each body to the Pace of its request. Both know peers
// by the text form of their IDs alone: the swarm gives them a listener, a
// dialer and the round trips, and nothing here knows libp2p.
package blobproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// fetchHeader has a peer.Fetch, other than NoFetch, as a decimal digit.
const fetchHeader = "Millpond-Fetch"

const (
	// maxBlob bounds what a peer can make us allocate: a manifest of 512 KiB.
	// No archive has a file near it.
	maxBlob   = 64 << 30
	maxPieces = maxBlob / peer.PieceSize

	maxHeader = 4 << 10
)

var errAnswer = errors.New("malformed answer")

// readManifest reads a manifest to its end.
func readManifest(r io.Reader) ([]digest.Digest, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPieces*digest.Size+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPieces*digest.Size || len(b)%digest.Size != 0 {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", errAnswer, len(b))
	}
	pieces := make([]digest.Digest, len(b)/digest.Size)
	for i := range pieces {
		copy(pieces[i][:], b[i*digest.Size:])
	}
	return pieces, nil
}

func appendManifest(b []byte, pieces []digest.Digest) []byte {
	for _, p := range pieces {
		b = append(b, p[:]...)
	}
	return b
}

// readPieces reads the state of a download to its end.
func readPieces(r io.Reader) (size int64, have peer.Bitfield, err error) {
	b, err := io.ReadAll(io.LimitReader(r, 8+maxPieces/8+1))
	if err != nil {
		return 0, nil, err
	}
	if len(b) < 8 {
		return 0, nil, fmt.Errorf("%w: %d bytes of pieces", errAnswer, len(b))
	}
	n := binary.BigEndian.Uint64(b)
	have = b[8:]
	if n > maxBlob {
		return 0, nil, fmt.Errorf("%w: pieces of a file of %d bytes", errAnswer, n)
	}
	pieces := peer.Pieces(int64(n))
	if len(have) != (pieces+7)/8 {
		return 0, nil, fmt.Errorf("%w: %d bytes for the bits of %d pieces", errAnswer, len(have), pieces)
	}
	if rest := pieces % 8; rest > 0 && have[len(have)-1]>>rest != 0 {
		return 0, nil, fmt.Errorf("%w: a piece after the last of %d", errAnswer, pieces)
	}
	return int64(n), have, nil
}

func appendPieces(b []byte, size int64, have peer.Bitfield) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(size)), have...)
}
