package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"
)

// maxAskers is how many clients are remembered of a package: the latest that
// requested it.
const maxAskers = 16

// Asker is a client that requested a package. It is forgotten, with its figures,
// when 16 others have requested it since.
type Asker struct {
	Client   netip.Addr
	Last     time.Time
	Requests int64
	Bytes    int64 // delivered to it
}

// asker is an Asker in a row.
type asker struct {
	client                netip.Addr
	last, requests, bytes int64 // last in Unix seconds
}

// askers are in no order, at most maxAskers, each client once.
type askers []asker

// note adds the figures of a client. If there are too many, the one with the
// oldest request is forgotten.
func (s *askers) note(a asker) {
	oldest := 0
	for i := range *s {
		have := &(*s)[i]
		if have.client == a.client {
			have.last = max(have.last, a.last)
			have.requests += a.requests
			have.bytes += a.bytes
			return
		}
		if have.last < (*s)[oldest].last {
			oldest = i
		}
	}
	switch {
	case len(*s) < maxAskers:
		*s = append(*s, a)
	case (*s)[oldest].last <= a.last:
		(*s)[oldest] = a
	}
}

// merge adds all that o has.
func (s *askers) merge(o askers) {
	for _, a := range o {
		s.note(a)
	}
}

// latest returns the askers, the latest request first.
func (s askers) latest() []Asker {
	all := make([]Asker, 0, len(s))
	for _, a := range s {
		all = append(all, Asker{a.client, time.Unix(a.last, 0).UTC(), a.requests, a.bytes})
	}
	slices.SortFunc(all, func(a, b Asker) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Client.Compare(b.Client))
	})
	return all
}

// append encodes each asker as the length of its address, the address, and
// three unsigned varints.
func (s askers) append(b []byte) []byte {
	for _, a := range s {
		addr := a.client.AsSlice()
		b = append(append(b, byte(len(addr))), addr...)
		for _, v := range []int64{a.last, a.requests, a.bytes} {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	return b
}

// decodeAskers reads what append wrote, up to the end of b.
func decodeAskers(b []byte) (askers, error) {
	var s askers
	for len(b) > 0 {
		var a asker
		n := int(b[0])
		var ok bool
		if len(b) < 1+n {
			return nil, errors.New("damaged row: the address of a client is cut short")
		}
		if a.client, ok = netip.AddrFromSlice(b[1 : 1+n]); !ok || len(s) == maxAskers {
			return nil, fmt.Errorf("damaged row: client %d has an address of %d bytes", len(s), n)
		}
		b = b[1+n:]
		for _, f := range []*int64{&a.last, &a.requests, &a.bytes} {
			v, n := binary.Uvarint(b)
			if n <= 0 || v > math.MaxInt64 {
				return nil, fmt.Errorf("damaged row: what client %d got is cut short or out of range", len(s))
			}
			*f = int64(v)
			b = b[n:]
		}
		s = append(s, a)
	}
	return s, nil
}
