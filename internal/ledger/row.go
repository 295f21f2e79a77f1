package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A row of the table is a version byte and ten unsigned varints: when first
// and last something was counted, in Unix seconds, and the counts. In a row of
// version 2, the recent clients follow; in one of version 3, the requests to
// mirrors, the avoided ones, how mirrors answered, and then the recent clients; in
// one of version 4, each of these has the time of its first request. A row is
// written in the first version that has what is in it. Its key is
//
//	t                    the totals; first is when the ledger began
//	m, h, d + time       a minute, hour or UTC day by its start, in Unix seconds
//	                     as 8 bytes, big-endian, so that byte order is time order
//	c, o, p, k + name    the account of a client, a host, a peer, a package
//
// A row that does not decode is an error that names it, never skipped: figures
// that silently lack a part could overstate savings. Badger's checksums guard against
// bad disks, so such a row is most likely the work of another version.
type row struct {
	first, last int64
	Counts
	answers answers       // of a host
	recent  recentClients // of a package
}

const (
	rowVersion      = 1
	recentVersion   = 2 // of a row with recent clients
	requestsVersion = 3 // of a row with requests to mirrors
	firstVersion    = 4 // of a row with the first requests of recent clients
)

var totalsKey = []byte("t")

// validKey reports whether key is one of these.
func validKey(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	switch key[0] {
	case 't':
		return len(key) == 1
	case 'm', 'h', 'd':
		return len(key) == 9
	case 'c', 'o', 'p', 'k':
		return len(key) > 1
	}
	return false
}

func (r *row) fields() [10]*int64 {
	return [...]*int64{
		&r.first, &r.last, &r.Requests,
		&r.DeliveredStore, &r.DeliveredPeer, &r.DeliveredMirror,
		&r.MirrorTaken, &r.PeerTaken, &r.PeerGiven, &r.Tunnelled,
	}
}

// requests are the fields that rows have since version 3.
func (r *row) requests() [2]*int64 {
	return [...]*int64{&r.MirrorRequests, &r.AvoidedRequests}
}

func (r row) encode() []byte {
	b := make([]byte, 1, 32)
	b[0] = rowVersion
	switch {
	case r.recent.haveFirst():
		b[0] = firstVersion
	case r.MirrorRequests > 0 || r.AvoidedRequests > 0 || len(r.answers) > 0:
		b[0] = requestsVersion
	case len(r.recent) > 0:
		b[0] = recentVersion
	}
	for _, f := range r.fields() {
		b = binary.AppendUvarint(b, uint64(*f))
	}
	if b[0] >= requestsVersion {
		for _, f := range r.requests() {
			b = binary.AppendUvarint(b, uint64(*f))
		}
		b = r.answers.append(b)
	}
	return r.recent.append(b, b[0] >= firstVersion)
}

// decode reads a row, with its recent clients.
func decode(b []byte) (row, error) {
	r, rest, err := decodeFigures(b)
	if err == nil {
		r.recent, err = decodeRecent(rest, b[0] >= firstVersion)
	}
	if err != nil {
		return row{}, err
	}
	return r, nil
}

// decodeFigures reads a row up to its recent clients, which are in rest.
func decodeFigures(b []byte) (r row, rest []byte, err error) {
	if len(b) == 0 {
		return row{}, nil, errors.New("empty row")
	}
	version := b[0]
	if version < rowVersion || version > firstVersion {
		return row{}, nil, fmt.Errorf("row of version %d, not %d to %d: run the version of millpond that wrote it", version, rowVersion, firstVersion)
	}
	fields := r.fields()
	b, err = decodeFields(b[1:], fields[:])
	if err == nil && version >= requestsVersion {
		requests := r.requests()
		if b, err = decodeFields(b, requests[:]); err == nil {
			r.answers, b, err = decodeAnswers(b)
		}
	}
	if err == nil && version == rowVersion && len(b) > 0 {
		err = fmt.Errorf("damaged row: %d bytes too many", len(b))
	}
	if err != nil {
		return row{}, nil, err
	}
	return r, b, nil
}

// decodeFields reads unsigned varints, and returns the rest.
func decodeFields(b []byte, fields []*int64) ([]byte, error) {
	for i, f := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64 {
			return nil, fmt.Errorf("damaged row: field %d is cut short or out of range", i)
		}
		*f = int64(v)
		b = b[n:]
	}
	return b, nil
}

func rowError(key []byte, err error) error {
	return fmt.Errorf("ledger row %q: %w", key, err)
}

// seen widens the time of the row to contain sec. Zero stands for never.
func (r *row) seen(sec int64) {
	if r.first == 0 || sec < r.first {
		r.first = sec
	}
	r.last = max(r.last, sec)
}

// merge adds all that o has counted.
func (r *row) merge(o row) {
	if o.first != 0 {
		r.seen(o.first)
	}
	r.last = max(r.last, o.last)
	r.add(o.Counts)
	r.answers.merge(o.answers)
	r.recent.merge(o.recent)
}

// unix returns t in Unix seconds; a clock before 1970 counts as 1970, since
// rows hold no negative times.
func unix(t time.Time) int64 { return max(t.Unix(), 0) }

// Step is the length of the buckets of a Series.
type Step uint8

// The steps. What is older than a step's rows are kept is in those of the next.
const (
	Minute Step = iota // kept 24 h
	Hour               // kept 31 days
	Day                // kept for good, some 20 KB a year; UTC days
)

var steps = [...]struct {
	kind byte
	sec  int64         // length
	keep time.Duration // with some slack over what is promised; 0 for ever
}{
	Minute: {'m', 60, 25 * time.Hour},
	Hour:   {'h', 60 * 60, 32 * 24 * time.Hour},
	Day:    {'d', 24 * 60 * 60, 0},
}

// start returns the start of the bucket that sec is in.
func (s Step) start(sec int64) int64 { return sec - sec%steps[s].sec }

// key returns the key of the bucket that starts at start.
func (s Step) key(start int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{steps[s].kind}, uint64(start))
}

// keyTime returns the start of the bucket that has key.
func keyTime(key []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(key[1:])), 0).UTC()
}
