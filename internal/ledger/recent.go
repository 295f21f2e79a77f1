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

// maxRecent is how many clients are remembered of a package: the latest that
// requested it.
const maxRecent = 16

// RecentClient is a client that requested a package. It is forgotten, with its figures,
// when 16 others have requested it since.
type RecentClient struct {
	Client   netip.Addr
	Last     time.Time
	Requests int64
	Bytes    int64 // delivered to it
}

// recentClient is a RecentClient in a row.
type recentClient struct {
	client                netip.Addr
	last, requests, bytes int64 // last in Unix seconds
	first                 int64 // as last; 0 for one that was noted while clients were kept for good
}

// recentClients are in no order, at most maxRecent, each client once.
type recentClients []recentClient

// note adds the figures of a client. If there are too many, the one with the
// oldest request is forgotten.
func (s *recentClients) note(a recentClient) {
	oldest := 0
	for i := range *s {
		have := &(*s)[i]
		if have.client == a.client {
			have.last = max(have.last, a.last)
			have.requests += a.requests
			have.bytes += a.bytes
			if a.first != 0 {
				have.first = min(have.first, a.first)
			}
			return
		}
		if have.last < (*s)[oldest].last {
			oldest = i
		}
	}
	switch {
	case len(*s) < maxRecent:
		*s = append(*s, a)
	case (*s)[oldest].last <= a.last:
		(*s)[oldest] = a
	}
}

// merge adds all that o has.
func (s *recentClients) merge(o recentClients) {
	for _, a := range o {
		s.note(a)
	}
}

// latest returns the recent clients, the latest request first.
func (s recentClients) latest() []RecentClient {
	all := make([]RecentClient, 0, len(s))
	for _, a := range s {
		all = append(all, RecentClient{a.client, time.Unix(a.last, 0).UTC(), a.requests, a.bytes})
	}
	slices.SortFunc(all, func(a, b RecentClient) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Client.Compare(b.Client))
	})
	return all
}

// haveFirst reports whether the first request of one is known.
func (s recentClients) haveFirst() bool {
	return slices.ContainsFunc(s, func(a recentClient) bool { return a.first != 0 })
}

// fields are the varints of a recent client.
func (a *recentClient) fields(first bool) []*int64 {
	all := []*int64{&a.last, &a.requests, &a.bytes, &a.first}
	if !first {
		all = all[:3]
	}
	return all
}

// append encodes each recent client as the length of its address, the address, and
// three unsigned varints, or four with its first request.
func (s recentClients) append(b []byte, first bool) []byte {
	for _, a := range s {
		addr := a.client.AsSlice()
		b = append(append(b, byte(len(addr))), addr...)
		for _, v := range a.fields(first) {
			b = binary.AppendUvarint(b, uint64(*v))
		}
	}
	return b
}

// decodeRecent reads what append wrote, up to the end of b.
func decodeRecent(b []byte, first bool) (recentClients, error) {
	var s recentClients
	for len(b) > 0 {
		var a recentClient
		n := int(b[0])
		var ok bool
		if len(b) < 1+n {
			return nil, errors.New("damaged row: the address of a client is cut short")
		}
		if a.client, ok = netip.AddrFromSlice(b[1 : 1+n]); !ok || len(s) == maxRecent {
			return nil, fmt.Errorf("damaged row: client %d has an address of %d bytes", len(s), n)
		}
		b = b[1+n:]
		for _, f := range a.fields(first) {
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
