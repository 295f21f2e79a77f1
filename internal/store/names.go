package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"unicode/utf8"

	"millpond/internal/digest"
)

// maxName is the longest name kept, in bytes: that of a file on Linux.
const maxName = 255

// fileName returns name if it can be one of a file, else "". No control
// characters, so that a zero byte ends a name in the index and in a position.
func fileName(name string) string {
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' }
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, control) {
		return ""
	}
	return name
}

// unnamed stands in the index for no name, after all names: no UTF-8 has it.
// Most blobs are unnamed for a moment only, if at all; before the names a
// listing would have to walk over the keys that they left.
const unnamed = "\xff"

func nameKey(name string, d digest.Digest) []byte { return []byte("n" + position(name, d)) }

// Named is a blob's entry in the index of names.
type Named struct {
	Name   string
	Digest digest.Digest
}

// position is where a blob stands in the order of names.
func position(name string, d digest.Digest) string {
	return cmp.Or(name, unnamed) + "\x00" + string(d[:])
}

// Position is for Names and Named to go on after n.
func (n Named) Position() string { return position(n.Name, n.Digest) }

// Position is for Names and Named to go on after i.
func (i Info) Position() string { return position(i.Name, i.Digest) }

// Named yields the blobs whose file names begin with prefix, in the order of
// these, from the one after after: "" for the first, a Position, or a name, of
// which no blob is yielded then. Blobs without a name come last. Blobs
// added or removed meanwhile may be missing. An error is the last thing it
// yields.
func (s *Store) Named(prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for n, err := range s.Names(prefix, after) {
			var i Info
			if err == nil {
				i, err = s.Stat(n.Digest)
			}
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed since
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}

// Names is Named without a look at the blobs themselves, which makes it ten
// times as fast.
func (s *Store) Names(prefix, after string) iter.Seq2[Named, error] {
	return func(yield func(Named, error) bool) {
		var from []byte
		if after != "" {
			from = append([]byte("n"+after), 0) // the smallest key after a position
			if strings.IndexByte(after, 0) < 0 {
				from[len(from)-1] = 1 // after all that have this name
			}
		}
		for {
			page, next, err := s.namePage(prefix, from)
			if err != nil {
				yield(Named{}, err)
				return
			}
			for _, n := range page {
				if !yield(n, nil) {
					return
				}
			}
			if from = next; from == nil {
				return
			}
		}
	}
}

// Unnamed yields the blobs without a name.
func (s *Store) Unnamed() iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		for n, err := range s.Names(unnamed, "") {
			if !yield(n.Digest, err) {
				return
			}
		}
	}
}

// namePage is page for the index of names.
func (s *Store) namePage(prefix string, from []byte) (page []Named, next []byte, err error) {
	err = s.table.Scan([]byte("n"+prefix), from, func(k, _ []byte) bool {
		if len(page) == namesPage {
			next = append([]byte(nil), k...)
			return false
		}
		end := len(k) - len(digest.Digest{})
		n := Named{string(k[1 : end-1]), digest.Digest(k[end:])}
		if n.Name == unnamed {
			n.Name = ""
		}
		page = append(page, n)
		return true
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing names of blobs: %w", err)
	}
	return page, next, nil
}

// namesPage is how many names a listing holds in memory, some 100 KB.
const namesPage = 4 * pageSize
