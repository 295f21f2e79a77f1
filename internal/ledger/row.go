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
// version 2, the recent clients follow. Its key is
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
	recent recentClients // of a package
}

const (
	rowVersion    = 1
	recentVersion = 2 // of a row with recent clients
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

func (r row) encode() []byte {
	b := make([]byte, 1, 32)
	b[0] = rowVersion
	if len(r.recent) > 0 {
		b[0] = recentVersion
	}
	for _, f := range r.fields() {
		b = binary.AppendUvarint(b, uint64(*f))
	}
	return r.recent.append(b)
}

// decode reads a row, with its recent clients.
func decode(b []byte) (row, error) {
	r, rest, err := decodeFigures(b)
	if err == nil {
		r.recent, err = decodeRecent(rest)
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
	if version != rowVersion && version != recentVersion {
		return row{}, nil, fmt.Errorf("row of version %d, not %d or %d: run the version of millpond that wrote it", version, rowVersion, recentVersion)
	}
	b = b[1:]
	for i, f := range r.fields() {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64 {
			return row{}, nil, fmt.Errorf("damaged row: field %d is cut short or out of range", i)
		}
		*f = int64(v)
		b = b[n:]
	}
	if version == rowVersion && len(b) > 0 {
		return row{}, nil, fmt.Errorf("damaged row: %d bytes too many", len(b))
	}
	return r, b, nil
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
