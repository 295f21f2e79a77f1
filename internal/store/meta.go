package store

import (
	"fmt"
	"os"
	"slices"
	"time"

	"millpond/internal/digest"
)

// Meta describes a blob: everything but its bytes.
type Meta struct {
	Modified time.Time    // Last-Modified of the file; zero stands for now
	Name     string       // of the file, as in Info; "" if it has none. One that no file can have is not kept
	From     []Provenance // those beyond the eighth are not kept
	Pin      string       // an owner that pins the blob from the start, as with Pin; "" for none
	Private  string       // the place behind a login that the bytes came from, as in Info; "" if they came without one
	// Party is whose content it is, as package party names it, where nobody vouches for
	// it: it is kept in that share (Store.For). "" for what a signed Release lists.
	Party string
}

// Provenance is a place that some of a blob's bytes came from.
type Provenance struct {
	Peer bool   // another box; else a mirror
	Name string // the peer's ID, or the mirror's host
}

// maxFrom bounds the places kept of a blob. More is possible where many failed
// in the middle of a file.
const maxFrom = 8

// row returns the row of a blob of size bytes that comes in now.
func (m Meta) row(size int64, now time.Time) row {
	if m.Modified.IsZero() {
		m.Modified = now
	}
	r := row{size: size, modified: m.Modified.Unix(), used: now.UnixNano(), name: fileName(m.Name)}
	for _, f := range m.From[:min(len(m.From), maxFrom)] {
		f.Name = f.Name[:min(len(f.Name), maxName)]
		r.from = append(r.from, f)
	}
	if m.Pin != "" {
		r.pins = []string{pinOwner(m.Pin)}
	}
	r.party = m.Party[:min(len(m.Party), maxName)]
	if m.Private != "" {
		r.private = []string{m.Private[:min(len(m.Private), maxName)]}
	}
	return r
}

// Annotate adds m to what is known of a blob: its name and its provenance if
// it has none yet, and the pin. The error wraps fs.ErrNotExist if the blob is
// not held; ErrTooManyPins says that nothing was added.
func (s *Store) Annotate(d digest.Digest, m Meta) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	old, err := s.row(d)
	if err != nil {
		return err
	}
	_, err = s.merge(d, old, old, m)
	return err
}

// arrived is Annotate for a blob whose bytes came in once more.
func (s *Store) arrived(d digest.Digest, m Meta) (row, error) {
	s.meta.Lock()
	defer s.meta.Unlock()
	old, err := s.row(d)
	if err != nil {
		return row{}, err
	}
	return s.merge(d, old, old.again(m), m)
}

// again is r when its bytes have come once more, with m.
func (r row) again(m Meta) row {
	r.private = r.alsoFrom(m)
	if m.Party == "" {
		r.party, r.unlisted = "", false
	}
	return r
}

// Listed tells whether a signed Release lists a blob at present. Of those that none
// lists any more, what was signed once is evicted before what is; and what nobody
// vouched for leaves its party's share once one lists it. The error wraps
// fs.ErrNotExist if the blob is not held.
func (s *Store) Listed(d digest.Digest, listed bool) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	old, err := s.row(d)
	if err != nil {
		return err
	}
	fresh := old
	if listed {
		fresh.party = ""
	}
	fresh.unlisted = !listed && old.party == ""
	_, err = s.replace(d, old, fresh)
	return err
}

// merge replaces the row of d, old, by fresh with what m adds, and returns the row as
// it is then. Caller holds meta.
func (s *Store) merge(d digest.Digest, old, fresh row, m Meta) (row, error) {
	added := m.row(old.size, time.Time{})
	if old.name == "" {
		fresh.name = added.name
	}
	if len(old.from) == 0 {
		fresh.from = added.from
	}
	for _, owner := range added.pins {
		fresh.pins = addPin(old.pins, owner)
	}
	return s.replace(d, old, fresh)
}

// replace writes a blob's row anew, if it differs, and returns the one in
// force. Caller holds meta.
func (s *Store) replace(d digest.Digest, old, fresh row) (row, error) {
	if len(fresh.pins) > maxPins {
		return old, fmt.Errorf("blob %s: %w", d, ErrTooManyPins)
	}
	if fresh.name == old.name && slices.Equal(fresh.from, old.from) && slices.Equal(fresh.pins, old.pins) && slices.Equal(fresh.private, old.private) && fresh.party == old.party && fresh.unlisted == old.unlisted {
		return old, nil
	}
	published := old.isPrivate() && !fresh.isPrivate()
	if published {
		if err := os.Chmod(s.blobPath(d), fresh.mode()); err != nil {
			return old, fmt.Errorf("describing blob %s: %w", d, err)
		}
	}
	if err := s.apply(change{d, &old, &fresh}); err != nil {
		return old, fmt.Errorf("describing blob %s: %w", d, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.add(old, -1)
	s.count.add(fresh, 1)
	if published {
		s.emit(Event{Digest: d, Size: fresh.size, Held: true})
	}
	return fresh, nil
}
