package inventory

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An inventory stream is a sequence of frames, each a type, a length as a
// varint (encoding/binary) and that many bytes. There are two types.
//
//	listing  flags, number, prefixes   part of all that is held
//	changes  from, to, came, went, begun, ended
//
// The first frame of a listing has flag 1 and the last flag 2. Prefixes are in
// ascending order: the first as a varint, then each as its distance to the one
// before; in changes, its length precedes each of the four lists. number, from
// and to count the changes since the writer started. A listing includes those up
// to number, and a changes frame must start where the frame before ended; if it
// does not, the reader resets the stream and the writer begins again with a
// listing. 200,000 random prefixes take 1.4 MB.
const (
	listingFrame = 'L'
	changesFrame = 'C'

	firstFlag = 1
	lastFlag  = 2

	maxFrame      = 64 << 10
	prefixesFrame = 4096 // in a listing's frame that we write, at most 10 bytes each
)

// Frame is one frame: part of a listing or, if it is not Listing, changes.
type Frame struct {
	listing     bool
	first, last bool
	number      uint64
	listed      []uint64

	from, to                 uint64
	came, went, begun, ended []uint64
}

// Adds is how many entries f may add to a Set.
func (f *Frame) Adds() int64 { return int64(len(f.listed) + len(f.came) + len(f.begun)) }

// ErrFrame means that a peer broke the protocol.
var ErrFrame = errors.New("malformed inventory frame")

// Append encodes f after b.
func (f *Frame) Append(b []byte) []byte {
	var body []byte
	kind := byte(changesFrame)
	if f.listing {
		kind = listingFrame
		flags := byte(0)
		if f.first {
			flags |= firstFlag
		}
		if f.last {
			flags |= lastFlag
		}
		body = binary.AppendUvarint(append(body, flags), f.number)
		body = appendPrefixes(body, f.listed)
	} else {
		body = binary.AppendUvarint(body, f.from)
		body = binary.AppendUvarint(body, f.to)
		for _, list := range [][]uint64{f.came, f.went, f.begun, f.ended} {
			body = binary.AppendUvarint(body, uint64(len(list)))
			body = appendPrefixes(body, list)
		}
	}
	b = binary.AppendUvarint(append(b, kind), uint64(len(body)))
	return append(b, body...)
}

func appendPrefixes(b []byte, list []uint64) []byte {
	last := uint64(0)
	for _, x := range list {
		b = binary.AppendUvarint(b, x-last)
		last = x
	}
	return b
}

// Read reads one frame. It returns io.EOF at the end of the stream, and ErrFrame
// for a frame that is malformed or cut off. It allocates at most 64 KiB.
func Read(r *bufio.Reader) (*Frame, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	length, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, fmt.Errorf("%w: its length: %w", ErrFrame, err)
	}
	if length > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes long, at most %d are allowed", ErrFrame, length, maxFrame)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: its body: %w", ErrFrame, err)
	}
	switch kind {
	case listingFrame:
		return parseListing(body)
	case changesFrame:
		return parseChanges(body)
	}
	return nil, fmt.Errorf("%w: type %q", ErrFrame, kind)
}

func parseListing(body []byte) (*Frame, error) {
	if len(body) == 0 || body[0] > firstFlag|lastFlag {
		return nil, fmt.Errorf("%w: flags", ErrFrame)
	}
	p := parser{rest: body[1:]}
	f := &Frame{listing: true, first: body[0]&firstFlag != 0, last: body[0]&lastFlag != 0, number: p.uvarint()}
	f.listed = p.prefixes(-1)
	return f, p.end()
}

func parseChanges(body []byte) (*Frame, error) {
	p := parser{rest: body}
	f := &Frame{from: p.uvarint(), to: p.uvarint()}
	for _, list := range []*[]uint64{&f.came, &f.went, &f.begun, &f.ended} {
		n := p.uvarint()
		if n > uint64(len(p.rest)) {
			p.bad = true
			break
		}
		*list = p.prefixes(int(n))
	}
	if f.to < f.from {
		p.bad = true
	}
	return f, p.end()
}

// parser reads varints until one is bad.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) uvarint() uint64 {
	x, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.bad = true
		return 0
	}
	p.rest = p.rest[n:]
	return x
}

// prefixes reads n of them; all that follow if n is negative.
func (p *parser) prefixes(n int) []uint64 {
	var list []uint64
	last := uint64(0)
	for len(list) != n && !p.bad && (n >= 0 || len(p.rest) > 0) {
		x := last + p.uvarint()
		if len(list) > 0 && x <= last { // not ascending, or past 64 bits
			p.bad = true
		}
		list, last = append(list, x), x
	}
	return list
}

func (p *parser) end() error {
	if p.bad || len(p.rest) > 0 {
		return fmt.Errorf("%w: numbers", ErrFrame)
	}
	return nil
}
