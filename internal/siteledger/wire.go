package siteledger

import (
	"fmt"
	"net/netip"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"millpond/internal/peer"
)

// Messages are written and read field by field, so that each list and text has its
// bound before there is memory for it. Zero values are left out, unknown fields skipped:
// a later version can add some.

const (
	// maxFigure is the greatest number that every reader of JSON has exactly. The sums
	// over all boxes fit an int64 (TestGreatestSums).
	maxFigure = 1<<53 - 1
	// maxSeconds is the end of the year 9999, the last one in JSON's times.
	maxSeconds = 253402300799
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{peer.ErrMalformed}, args...)...)
}

// field is one field of a message: a varint or fixed64, or bytes.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64
	bytes  []byte
}

// fields calls read for each field of a message.
func fields(b []byte, read func(f field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed("a tag: %v", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return malformed("field %d: %v", number, protowire.ParseError(n))
		}
		b = b[n:]
		if err := read(f); err != nil {
			return err
		}
	}
	return nil
}

// figure reads a number from 0 to most into to.
func (f field) figure(to *int64, most int64) error {
	if f.kind != protowire.VarintType || f.value > uint64(most) {
		return malformed("field %d is no number up to %d", f.number, most)
	}
	*to = int64(f.value)
	return nil
}

func (f field) flag(to *bool) error {
	var n int64
	err := f.figure(&n, 1)
	*to = n == 1
	return err
}

func (f field) fixed(to *uint64) error {
	if f.kind != protowire.Fixed64Type {
		return malformed("field %d is not of 8 bytes", f.number)
	}
	*to = f.value
	return nil
}

// text reads UTF-8 of most bytes at most.
func (f field) text(to *string, most int) error {
	if f.kind != protowire.BytesType || len(f.bytes) > most || !utf8.Valid(f.bytes) {
		return malformed("field %d is no text of up to %d bytes", f.number, most)
	}
	*to = string(f.bytes)
	return nil
}

// addrPort reads an address without a zone, which means nothing to others, and a port.
func (f field) addrPort(to *netip.AddrPort) error {
	var text string
	if err := f.text(&text, maxServes); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
		return malformed("field %d is no address and port", f.number)
	}
	*to = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	return nil
}

// message reads a message within the message.
func (f field) message(read func(b []byte) error) error {
	if f.kind != protowire.BytesType {
		return malformed("field %d is no message", f.number)
	}
	return read(f.bytes)
}

// addTo reads one more entry of a list of most at most.
func addTo[T any](f field, list *[]T, most int, parse func(b []byte) (T, error)) error {
	if len(*list) == most {
		return malformed("more than %d of field %d", most, f.number)
	}
	return f.message(func(b []byte) error {
		entry, err := parse(b)
		*list = append(*list, entry)
		return err
	})
}

func putFigure(b []byte, number protowire.Number, v int64) []byte {
	if v <= 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(min(v, maxFigure)))
}

func putFlag(b []byte, number protowire.Number, v bool) []byte {
	if v {
		return putFigure(b, number, 1)
	}
	return b
}

func putFixed(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), v)
}

func putBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

// putText writes the first most bytes of v, as whole characters.
func putText(b []byte, number protowire.Number, v string, most int) []byte {
	if v == "" {
		return b
	}
	return putBytes(b, number, []byte(clip(v, most)))
}

// clip returns the first most bytes of v as whole characters.
func clip(v string, most int) string {
	if len(v) <= most && utf8.ValidString(v) {
		return v
	}
	end := 0
	for i, r := range v {
		if r == utf8.RuneError || i+utf8.RuneLen(r) > most {
			break
		}
		end = i + utf8.RuneLen(r)
	}
	return v[:end]
}
