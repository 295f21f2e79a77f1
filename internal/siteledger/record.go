package siteledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/peer"
)

const (
	// keepFor is how long a box is kept that is away.
	keepFor = 90 * 24 * time.Hour
	// awayAfter is for how long a connected box may give no report: three are missing.
	awayAfter = 3 * askEvery
	// maxMembers and maxLocals bound the boxes of which figures are kept: 25 MB of
	// memory, and 100 MB on disk if all of them counted something in every minute.
	maxMembers = 128
	maxLocals  = 64
)

// The first bytes of the rows' keys.
const (
	ledgerRow  = 'l'
	boxRow     = 'b' // and peer ID: a boxValue
	detailsRow = 'd' // and peer ID: details
	pointRow   = 'p' // and peer ID, 0, step, start: Counts
	nameRow    = 'n' // and a name's key
)

// record is what another box told.
type record struct {
	id                string
	kind              peer.Kind
	party             netip.Prefix // of its connection
	connected         bool
	seen              time.Time // when it told its figures
	report            Report    // without what follows
	suites            []Suite
	top               []Package
	clients, packages set
	newest            [steps]ledger.Point // of the buckets that are kept

	// What the next question says.
	detailsVersion, namesVersion uint64
	seriesAsked, saved           time.Time
	namesAgain                   time.Time // when names are told again that were not learned; zero: all were
	more                         int       // how often it is asked at once for more
}

// away reports whether the figures are old since the box is not there.
func (r *record) away(now time.Time) bool { return !r.connected || now.Sub(r.seen) > awayAfter }

// unproved reports whether nothing proves the figures.
func (r *record) unproved() bool { return r.kind < peer.Member }

// take replaces the details.
func (r *record) take(d *details) {
	r.suites, r.top = d.suites, d.top
	r.clients = set{r.report.Clients, d.clientsTold, d.clients}
	r.packages = set{r.report.Packages, true, d.packages}
}

// details are those that take took.
func (r *record) details() *details {
	return &details{r.suites, r.top, r.clients.told, r.clients.Sketch, r.packages.Sketch}
}

// admit makes room for a box that is new. Of the boxes of its kind, one that is away
// gives way, of the network that has most; or one that is connected, if its network has
// more than the new one's. s.mu must be held.
func (s *Site) admit(n peer.Neighbour, now time.Time) (bool, error) {
	limit := maxLocals
	if n.Kind == peer.Member {
		limit = maxMembers
	}
	var same []*record
	size := make(map[netip.Prefix]int)
	for _, r := range s.boxes {
		if (r.kind == peer.Member) == (n.Kind == peer.Member) {
			same = append(same, r)
			size[r.party]++
		}
	}
	if len(same) < limit {
		return true, nil
	}
	first := slices.MinFunc(same, func(a, b *record) int {
		if a.away(now) != b.away(now) {
			if a.away(now) {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(size[b.party], size[a.party]), a.seen.Compare(b.seen), cmp.Compare(a.id, b.id))
	})
	most, own := size[first.party], size[n.Party]
	if most < own || !first.away(now) && most <= own+1 {
		return false, nil
	}
	return true, s.drop(first)
}

// drop removes what a box told. s.mu must be held.
func (s *Site) drop(r *record) error {
	delete(s.boxes, r.id)
	s.changed++
	err := s.dropPoints(r)
	for _, row := range []byte{detailsRow, boxRow} { // the last one leads to the others
		err = errors.Join(err, s.Table.Delete(boxKey(row, r.id)))
	}
	return err
}

func boxKey(row byte, id string) []byte { return append([]byte{row}, id...) }

// boxValue is a box's row.
type boxValue struct {
	Kind   peer.Kind
	Party  netip.Prefix
	Seen   time.Time
	Report []byte
	Newest [steps]int64
}

// saveBox keeps the figures of a box. s.mu must be held.
func (s *Site) saveBox(r *record, now time.Time) error {
	v := boxValue{Kind: r.kind, Party: r.party, Seen: r.seen, Report: r.report.encode()}
	for i, p := range r.newest {
		if !p.Start.IsZero() {
			v.Newest[i] = p.Start.Unix()
		}
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = s.Table.Put(boxKey(boxRow, r.id), b)
	}
	if err == nil {
		r.saved = now
	}
	return err
}

// saveSets keeps the details of a box. s.mu must be held.
func (s *Site) saveSets(r *record) error {
	return s.Table.Put(boxKey(detailsRow, r.id), r.details().encode())
}

// save keeps the figures of all boxes that were last kept so long ago.
func (s *Site) save(now time.Time, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all error
	for _, r := range s.boxes {
		if r.seen.After(r.saved) && now.Sub(r.saved) >= age {
			all = errors.Join(all, s.saveBox(r, now))
		}
	}
	s.warn("keeping what they told", all)
}

// warn logs what went wrong with the rows; the next write may succeed.
func (s *Site) warn(doing string, err error) {
	if err != nil {
		s.Log.Warn("figures of other boxes not up to date on disk", "doing", doing, "err", err)
	}
}

// load reads all rows but the buckets.
func (s *Site) load() error {
	now := time.Now()
	var dropped [][]byte
	var damaged []string
	err := s.Table.Scan(nil, nil, func(key, value []byte) bool {
		switch id := string(key[1:]); key[0] {
		case boxRow:
			if r := loadBox(id, value); r != nil {
				s.boxes[id] = r
			} else {
				damaged = append(damaged, id)
			}
		case nameRow:
			if !s.loadName(id, value) {
				dropped = append(dropped, bytes.Clone(key))
			}
		}
		return true
	})
	for _, key := range dropped {
		err = errors.Join(err, s.Table.Delete(key))
	}
	for _, id := range damaged { // else nothing would lead to its other rows, hashes of clients among them
		err = errors.Join(err, s.drop(&record{id: id}))
	}
	if err != nil {
		return err
	}
	for id, r := range s.boxes {
		b, err := s.Table.Get(boxKey(detailsRow, id))
		if isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		// What does not decode is told again.
		if d, err := parseDetails(bytes.Clone(b)); err == nil && d.check(&r.report) == nil {
			r.take(d)
		}
	}
	return s.restrict(now)
}

func loadBox(id string, value []byte) *record {
	var v boxValue
	if json.Unmarshal(value, &v) != nil {
		return nil
	}
	report, err := parseReport(v.Report)
	if err != nil {
		return nil
	}
	r := &record{id: id, kind: v.Kind, party: v.Party, seen: v.Seen, report: *report}
	r.take(new(details))
	r.packages.told = false // until the details are read
	for i, at := range v.Newest {
		if at > 0 {
			r.newest[i].Start = time.Unix(at, 0).UTC()
		}
	}
	return r
}

// tidy drops what is too old.
func (s *Site) tidy(now time.Time) {
	s.save(now, saveEvery)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warn("removing what is old", errors.Join(s.restrict(now), s.tidyNames(now), s.trimPoints(now)))
}

// restrict drops boxes that have not been seen for long, and what is not to be kept about
// clients. s.mu must be held.
func (s *Site) restrict(now time.Time) error {
	var all error
	for _, r := range s.boxes {
		age := now.Sub(r.seen)
		switch keep := s.Privacy.Keep; {
		case age > keepFor:
			all = errors.Join(all, s.drop(r))
		case r.clients.told && (s.Privacy.NoClients || keep > 0 && age > keep):
			r.clients.told, r.clients.Sketch = false, nil
			s.changed++
			all = errors.Join(all, s.saveSets(r))
		}
	}
	return all
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// supersede drops a box that is away if its ledger is that of another one, r, which
// counts on with it under another identity. One that is less trusted cannot do that to a
// member. s.mu must be held.
func (s *Site) supersede(r *record, now time.Time) error {
	for _, o := range s.boxes {
		if o != r && o.report.Ledger == r.report.Ledger && o.away(now) && o.kind <= r.kind {
			s.Log.Info("a box has a new identity", "was", o.id, "is", r.id)
			if err := s.drop(o); err != nil {
				return fmt.Errorf("dropping the figures under the old one: %w", err)
			}
		}
	}
	return nil
}
