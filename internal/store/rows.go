package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

// The table has eight kinds of keys:
//
//	'b' digest            → row
//	'u' rank, digest      → nothing: the order of eviction, without the pinned
//	'o' rank, digest      → nothing: the same of what no Release lists any more
//	'w' bucket, rank, digest → nothing: the same of what nobody vouches for
//	'n' name, 0, digest   → nothing: the order of file names
//	's'                   → digest that the scrub has verified last
//	'i'                   → nothing: all rows are in the indices
//	't'                   → nothing: written to find out whether writes succeed
//
// Row and indices change in one transaction and so never disagree.
var scrubKey, indexedKey, probeKey = []byte{'s'}, []byte{'i'}, []byte{'t'}

// Pinned and Known choose the rows of a Store's table that the files do not tell again:
// of pinned blobs, and of all others. Where only these are left of a table, Open makes
// the rest.
func Pinned(key, value []byte) bool {
	r, err := decodeRow(value)
	return key[0] == 'b' && err == nil && r.pinned()
}

// Known chooses the rows of blobs that are not Pinned.
func Known(key, value []byte) bool {
	r, err := decodeRow(value)
	return key[0] == 'b' && err == nil && !r.pinned()
}

// row is what the table holds of a blob.
type row struct {
	size     int64
	modified int64    // Unix time in seconds, all that HTTP can say
	used     int64    // Unix time in nanoseconds
	pins     []string // owners, sorted
	name     string   // of the file; "" if it is not known
	from     []Provenance
	private  []string // places behind a login, as in Info
	party    string   // as in Info
	unlisted bool     // as Listed said
	worth    uint8    // half days that its uses before the last add to its rank
	old      bool     // written before rows had names, and not in the index of them
}

func blobKey(d digest.Digest) []byte { return append([]byte{'b'}, d[:]...) }

// usePrefix begins the blob's key in the order of eviction.
func (r row) usePrefix() []byte {
	switch b := bucketOf(r.party); {
	case b != signed:
		return bucketPrefix(b)
	case r.unlisted:
		return unlistedPrefix
	}
	return listedPrefix
}

var listedPrefix, unlistedPrefix = []byte{'u'}, []byte{'o'}

func (r row) useKey(d digest.Digest) []byte {
	k := binary.BigEndian.AppendUint64(r.usePrefix(), uint64(r.rank()))
	return append(k, d[:]...)
}

func parseUseKey(k []byte) (digest.Digest, int64) {
	k = k[len(k)-8-digest.Size:]
	return digest.Digest(k[8:]), int64(binary.BigEndian.Uint64(k))
}

func (r row) pinned() bool { return len(r.pins) > 0 }

// rowSize is that of a row in bytes up to its name. The last byte says whether
// an administrator pinned the blob; other owners, then the places of a private blob,
// and then its party, whether it is unlisted and its worth follow at the end of the
// row, where older rows have nothing.
const rowSize = 8 + 8 + 8 + 1

func (r row) encode() []byte {
	b := make([]byte, 0, rowSize+1+len(r.name)+1)
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	b = binary.BigEndian.AppendUint64(b, uint64(r.modified))
	b = binary.BigEndian.AppendUint64(b, uint64(r.used))
	more := r.party != "" || r.unlisted || r.worth > 0
	pins, byAdmin := cutPin(r.pins, ByAdmin)
	b = append(b, flag(byAdmin))
	b = appendText(b, r.name)
	b = append(b, byte(len(r.from)))
	for _, f := range r.from {
		b = appendText(append(b, flag(f.Peer)), f.Name)
	}
	if more || len(pins)+len(r.private) > 0 {
		b = appendTexts(b, pins)
	}
	if more || len(r.private) > 0 {
		b = appendTexts(b, r.private)
	}
	if more {
		b = append(appendText(b, r.party), flag(r.unlisted), r.worth)
	}
	return b
}

// appendTexts appends the number of texts and each as appendText does.
func appendTexts(b []byte, all []string) []byte {
	b = append(b, byte(len(all)))
	for _, s := range all {
		b = appendText(b, s)
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// appendText appends s, of at most 255 bytes, and its length.
func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func decodeRow(b []byte) (row, error) {
	if len(b) < rowSize {
		return row{}, fmt.Errorf("blob row of %d bytes, want %d at least", len(b), rowSize)
	}
	r := row{
		size:     int64(binary.BigEndian.Uint64(b)),
		modified: int64(binary.BigEndian.Uint64(b[8:])),
		used:     int64(binary.BigEndian.Uint64(b[16:])),
	}
	if b[24] != 0 {
		r.pins = []string{ByAdmin}
	}
	if b = b[rowSize:]; len(b) == 0 {
		r.old = true
		return r, nil
	}
	var ok bool
	if r.name, b, ok = cutText(b); !ok || len(b) == 0 {
		return row{}, errors.New("blob row is cut short in the name")
	}
	if r.from, b, ok = cutFrom(b); !ok {
		return row{}, errors.New("blob row is cut short in its sources")
	}
	var pins []string
	if pins, b, ok = cutTexts(b); !ok {
		return row{}, errors.New("blob row is cut short in its pins")
	}
	for _, owner := range pins {
		r.pins = addPin(r.pins, owner)
	}
	if r.private, b, ok = cutTexts(b); !ok {
		return row{}, errors.New("blob row is cut short in its places")
	}
	if len(b) > 0 {
		if r.party, b, ok = cutText(b); !ok || len(b) < 2 {
			return row{}, errors.New("blob row is cut short in its party")
		}
		r.unlisted, r.worth, b = b[0] != 0, b[1], b[2:]
	}
	if len(b) > 0 {
		return row{}, fmt.Errorf("blob row has %d bytes too many", len(b))
	}
	return r, nil
}

// cutFrom takes the provenance off the front of b, which begins with the number
// of places.
func cutFrom(b []byte) (from []Provenance, rest []byte, ok bool) {
	n := b[0]
	b = b[1:]
	for range n {
		var f Provenance
		if len(b) > 0 {
			f.Peer, b = b[0] != 0, b[1:]
		}
		if f.Name, b, ok = cutText(b); !ok {
			return nil, nil, false
		}
		from = append(from, f)
	}
	return from, b, true
}

// cutTexts takes what appendTexts appended off the front of b. An older row has
// nothing there.
func cutTexts(b []byte) (all []string, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, b, true
	}
	n := b[0]
	b = b[1:]
	for range n {
		var s string
		if s, b, ok = cutText(b); !ok {
			return nil, nil, false
		}
		all = append(all, s)
	}
	return all, b, true
}

// cutText takes what appendText appended off the front of b.
func cutText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	end := 1 + int(b[0])
	return string(b[1:end]), b[end:], true
}

func (r row) info(d digest.Digest) Info {
	return Info{
		Digest:   d,
		Size:     r.size,
		Modified: time.Unix(r.modified, 0).UTC(),
		Used:     time.Unix(0, r.used),
		Pinned:   r.pinned(),
		Pins:     r.pins,
		Name:     r.name,
		From:     r.from,
		Private:  r.private,
		Party:    r.party,
		Unlisted: r.unlisted,
	}
}

// row returns the row of d, or an error wrapping fs.ErrNotExist, also if its file cannot
// be read.
func (s *Store) row(d digest.Digest) (row, error) {
	if s.isLost(d) {
		return row{}, notHeld(d)
	}
	return s.listedRow(d)
}

// maxLately bounds the rows in memory, of some 250 bytes each.
const maxLately = 8192

// readRow is row for those who change nothing in what it returns.
func (s *Store) readRow(d digest.Digest) (row, error) {
	if s.isLost(d) {
		return row{}, notHeld(d)
	}
	return s.lately.Get(d, func() (row, error) { return s.listedRow(d) })
}

// listedRow is row for those who do not read the file.
func (s *Store) listedRow(d digest.Digest) (row, error) {
	b, err := s.table.Get(blobKey(d))
	if errors.Is(err, fs.ErrNotExist) {
		return row{}, notHeld(d)
	}
	if err != nil {
		return row{}, fmt.Errorf("blob %s: %w", d, err)
	}
	return decodeRow(b)
}

func notHeld(d digest.Digest) error { return fmt.Errorf("blob %s: %w", d, fs.ErrNotExist) }

// change replaces a blob's row; nil stands for none.
type change struct {
	d        digest.Digest
	old, new *row
}

// txChanges keeps a transaction far under the limit of kv.
const txChanges = 1000

// apply writes the changes, each of them as a whole. Caller holds meta.
func (s *Store) apply(changes ...change) error { return s.applyWith(s.table.Update, changes...) }

// applyWith is apply by one of the table's transactions.
func (s *Store) applyWith(update func(func(tx *kv.Tx) error) error, changes ...change) error {
	for len(changes) > 0 {
		n := min(len(changes), txChanges)
		err := update(func(tx *kv.Tx) error {
			for _, c := range changes[:n] {
				if err := s.applyOne(tx, c); err != nil {
					return err
				}
			}
			return nil
		})
		for _, c := range changes[:n] {
			s.lately.Delete(c.d)
		}
		if err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

func (s *Store) applyOne(tx *kv.Tx, c change) error {
	if c.old != nil && !c.old.pinned() {
		if err := tx.Delete(c.old.useKey(c.d)); err != nil {
			return err
		}
	}
	if c.old != nil && (c.new == nil || c.new.name != c.old.name) {
		if err := tx.Delete(nameKey(c.old.name, c.d)); err != nil {
			return err
		}
	}
	if c.new == nil {
		return tx.Delete(blobKey(c.d))
	}
	if c.old == nil || c.new.name != c.old.name {
		if err := tx.Put(nameKey(c.new.name, c.d), nil); err != nil {
			return err
		}
	}
	if !c.new.pinned() {
		key, prefix := c.new.useKey(c.d), string(c.new.usePrefix())
		if bytes.Compare(key, s.oldest[prefix]) < 0 {
			s.oldest[prefix] = key
		}
		if err := tx.Put(key, nil); err != nil {
			return err
		}
	}
	return tx.Put(blobKey(c.d), c.new.encode())
}

// maxUses bounds the uses in memory. At half of it Run flushes early;
// uses beyond it are not noted, and these blobs are evicted a little earlier.
const maxUses = 16 << 10

// note remembers that d is used now.
func (s *Store) note(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteUse(d)
}

// noteUse is note for callers that hold mu.
func (s *Store) noteUse(d digest.Digest) {
	s.countUse(d)
	if _, ok := s.uses[d]; !ok && len(s.uses) >= maxUses {
		return
	}
	s.uses[d] = s.now()
	if len(s.uses) > maxUses/2 {
		select {
		case s.flushSoon <- struct{}{}:
		default:
		}
	}
}

// Flush writes the noted uses to the table. Run does so every few seconds.
func (s *Store) Flush() error {
	s.meta.Lock()
	defer s.meta.Unlock()
	return s.flushUses()
}

// flushUses is Flush for callers that hold meta.
func (s *Store) flushUses() error {
	s.mu.Lock()
	uses := s.uses
	s.uses = make(map[digest.Digest]time.Time)
	s.mu.Unlock()
	var changes []change
	for d, used := range uses {
		old, err := s.row(d)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return err
		}
		fresh := old.use(used.UnixNano())
		if fresh.used > old.used {
			changes = append(changes, change{d, &old, &fresh})
		}
	}
	return s.apply(changes...)
}
