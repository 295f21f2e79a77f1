package siteledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"millpond/internal/kv"
	"millpond/internal/ledger"
)

var (
	// length is that of a step in seconds.
	length = [steps]int64{ledger.Minute: 60, ledger.Hour: 60 * 60, ledger.Day: 24 * 60 * 60}
	// kept is how long the buckets of other boxes are, as the ledger keeps its own. Days
	// have an end here: a box could claim some for each day since 1970.
	kept = [steps]time.Duration{
		ledger.Minute: 25 * time.Hour, ledger.Hour: 32 * 24 * time.Hour, ledger.Day: 4000 * 24 * time.Hour,
	}
)

// ownPoints adds this box's buckets that q asks for to its report.
func (s *Site) ownPoints(r *Report, q question, now time.Time) error {
	for i := range steps {
		from := now.Add(-kept[i])
		if q.ledger == s.ledgerID && q.newest[i] > from.Unix() {
			from = time.Unix(q.newest[i], 0)
		}
		points, err := s.Ledger.Series(ledger.Step(i), from, now.Add(time.Minute))
		if err != nil {
			return err
		}
		r.more = r.more || len(points) > maxPoints
		r.series[i] = points[:min(len(points), maxPoints)]
	}
	return nil
}

func pointsKey(id string, step int) []byte {
	return append(append(boxKey(pointRow, id), 0), byte(step))
}

func pointKey(id string, step int, start int64) []byte {
	return binary.BigEndian.AppendUint64(pointsKey(id, step), uint64(start))
}

// takePoints keeps the buckets of a report. s.mu must be held.
func (s *Site) takePoints(r *record, told *[steps][]ledger.Point, now time.Time) error {
	newest := r.newest
	err := s.Table.Update(func(tx *kv.Tx) error {
		for i, points := range told {
			for _, p := range points {
				if p.Start.After(now.Add(maxAhead)) || now.Sub(p.Start) > kept[i]+time.Duration(length[i])*time.Second || p == newest[i] {
					continue
				}
				if err := tx.Put(pointKey(r.id, i, p.Start.Unix()), encodeCounts(p.Counts)); err != nil {
					return err
				}
				newest[i] = p
			}
		}
		return nil
	})
	if err == nil {
		r.newest = newest
	}
	return err
}

// scanPoints calls fn for the buckets of a box from a time on.
func (s *Site) scanPoints(id string, step int, from time.Time, fn func(p ledger.Point) bool) error {
	return s.Table.Scan(pointsKey(id, step), pointKey(id, step, max(from.Unix(), 0)), func(key, value []byte) bool {
		counts, err := parseCounts(bytes.Clone(value))
		if err != nil || len(key) < 8 {
			return true
		}
		start := int64(binary.BigEndian.Uint64(key[len(key)-8:]))
		return fn(ledger.Point{Start: time.Unix(start, 0).UTC(), Counts: counts})
	})
}

// dropPoints removes all buckets of a box. s.mu must be held.
func (s *Site) dropPoints(r *record) error {
	r.newest = [steps]ledger.Point{}
	return s.deletePoints(append(boxKey(pointRow, r.id), 0), nil)
}

// deletePoints removes the rows with a prefix that are before end; nil: all of them.
func (s *Site) deletePoints(prefix, end []byte) error {
	batch := s.Table.Batch()
	defer batch.Cancel()
	var fault error
	err := s.Table.Scan(prefix, nil, func(key, _ []byte) bool {
		if end != nil && bytes.Compare(key, end) >= 0 {
			return false
		}
		fault = batch.Delete(key)
		return fault == nil
	})
	if err := errors.Join(err, fault); err != nil {
		return err
	}
	return batch.Flush()
}

// trimPoints removes the buckets that are too old. s.mu must be held.
func (s *Site) trimPoints(now time.Time) error {
	var all error
	for id := range s.boxes {
		for i := range steps {
			end := pointKey(id, i, max(now.Add(-kept[i]).Unix(), 0))
			all = errors.Join(all, s.deletePoints(pointsKey(id, i), end))
		}
	}
	return all
}

// Which says of which boxes figures are wanted.
type Which struct {
	Box      string // peer ID of one; "" for all
	Unproved bool   // of all, with those of which nothing proves the figures
}

// has reports whether a box is among them; nil is this one.
func (w Which) has(r *record, self string) bool {
	if r == nil {
		return w.Box == "" || w.Box == self
	}
	return w.Box == r.id || w.Box == "" && (w.Unproved || !r.unproved())
}

// Series returns the sums of the boxes' buckets with start in [from, to), oldest first;
// those of other boxes are half a minute old. The error is ErrUnknownBox if there is no
// such box.
func (s *Site) Series(w Which, step ledger.Step, from, to time.Time) ([]ledger.Point, error) {
	s.mu.Lock()
	known := w.Box == "" || w.Box == s.ID || s.boxes[w.Box] != nil
	var ids []string
	for id, r := range s.boxes {
		if w.has(r, s.ID) {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	if !known {
		return nil, ErrUnknownBox
	}
	var points []ledger.Point
	if w.has(nil, s.ID) {
		var err error
		if points, err = s.Ledger.Series(step, from, to); err != nil {
			return nil, err
		}
	}
	sums := make(map[int64]*ledger.Counts)
	for i := range points {
		sums[points[i].Start.Unix()] = &points[i].Counts
	}
	for _, id := range ids {
		err := s.scanPoints(id, int(step), from.Add(time.Second-1), func(p ledger.Point) bool {
			if !p.Start.Before(to) {
				return false
			}
			at := p.Start.Unix()
			if sums[at] == nil {
				sums[at] = new(ledger.Counts)
			}
			addCounts(sums[at], p.Counts)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	points = make([]ledger.Point, 0, len(sums))
	for at, c := range sums {
		for _, v := range countFields(c) {
			*v = min(*v, maxFigure) // so that several buckets can be added up
		}
		points = append(points, ledger.Point{Start: time.Unix(at, 0).UTC(), Counts: *c})
	}
	slices.SortFunc(points, func(a, b ledger.Point) int { return a.Start.Compare(b.Start) })
	return points, nil
}

// addCounts adds d to c.
func addCounts(c *ledger.Counts, d ledger.Counts) {
	from := countFields(&d)
	for i, v := range countFields(c) {
		*v += *from[i]
	}
}
