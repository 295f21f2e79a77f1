package siteledger

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxNames      = 2048
	maxNamesFrom  = 1024 // that one box told first
	maxNamesTold  = 1536 // that other boxes told; the rest is for the administrator of this one
	maxNameLength = 64   // characters
	maxNameBytes  = 192
	maxNameKey    = 80 // bytes; a peer ID has 52
	// maxAhead is how much later than this box's clock another one's may be: a name
	// given in the far future could never be changed.
	maxAhead = 10 * time.Minute
	// goneFor is how long it is remembered that a name was removed or a box forgotten:
	// longer than a box that is away keeps what it had.
	goneFor = 2 * keepFor
)

// The kinds of names, the first byte of their keys.
const (
	namedBox     = 'b' // by peer ID
	namedClient  = 'c' // by its hash: erased clients leave no address
	forgottenBox = 'f' // by peer ID: what it told before is to be dropped
)

// name is a name as members tell it to each other. An empty text removes the name.
//
//	message Name {
//	  string key = 1;   // kind, and peer ID or hash
//	  string text = 2;
//	  uint64 given = 3; // when, in Unix milliseconds; the latest wins
//	}
type name struct {
	key, text string
	given     int64
}

func nameKey(kind byte, of string) string { return string(kind) + of }

func (n name) encode() []byte {
	return putFigure(putText(putText(nil, 1, n.key, maxNameKey), 2, n.text, maxNameBytes), 3, n.given)
}

func parseName(b []byte) (n name, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.text(&n.key, maxNameKey)
		case 2:
			return f.text(&n.text, maxNameBytes)
		case 3:
			return f.figure(&n.given, maxFigure)
		}
		return nil
	})
	if err == nil && (len(n.key) < 2 || !strings.ContainsRune("bcf", rune(n.key[0])) || !isName(n.text)) {
		err = malformed("a name that no administrator can give")
	}
	return n, err
}

func isName(text string) bool {
	return utf8.RuneCountInString(text) <= maxNameLength && len(text) <= maxNameBytes && !strings.ContainsFunc(text, unicode.IsControl)
}

// given is a name that this box keeps.
type given struct {
	text string
	at   int64  // Unix milliseconds
	by   string // the peer ID of the box that told it first
}

// gone reports whether it only says that something is not there any more.
func (g given) gone(key string) bool { return g.text == "" || key[0] == forgottenBox }

// names are those that this box keeps. Site.mu guards them.
type names struct {
	self string
	all  map[string]given
	told map[string]int // how many of them each other box told first
}

func newNames(self string) names {
	return names{self: self, all: make(map[string]given), told: make(map[string]int)}
}

// room reports whether one more name, told by the box by, may be kept.
func (n *names) room(by string) bool {
	if by == n.self {
		return len(n.all) < maxNames
	}
	others := 0
	for _, count := range n.told {
		others += count
	}
	return n.told[by] < maxNamesFrom && others < maxNamesTold && len(n.all) < maxNames
}

// put keeps a name if it is newer than the one that there is; changed reports whether
// it does.
func (n *names) put(one name, by string) (changed bool) {
	old, known := n.all[one.key]
	// Of two that were given at once, all boxes must choose the same.
	if known && cmp.Or(cmp.Compare(old.at, one.given), strings.Compare(old.text, one.text)) >= 0 {
		return false
	}
	if !known {
		if !n.room(by) {
			return false
		}
		old.by = by
		n.count(by, 1)
	}
	n.all[one.key] = given{one.text, one.given, old.by}
	return true
}

func (n *names) remove(key string) {
	n.count(n.all[key].by, -1)
	delete(n.all, key)
}

func (n *names) count(by string, d int) {
	if by == n.self {
		return
	}
	if n.told[by] += d; n.told[by] == 0 {
		delete(n.told, by)
	}
}

// list returns what a member is told, in the order of the keys, and the version of that.
func (n *names) list(clients bool) (all []name, version uint64) {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(n.all)) {
		if key[0] == namedClient && !clients {
			continue
		}
		one := name{key, n.all[key].text, n.all[key].at}
		all = append(all, one)
		b = putBytes(b, 1, one.encode())
	}
	return all, versionOf(b)
}

// NameBox gives a box a name, for the whole site; "" removes it.
func (s *Site) NameBox(id, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.ID && s.boxes[id] == nil {
		return ErrUnknownBox
	}
	return s.give(nameKey(namedBox, id), text, time.Now())
}

// NameClient gives a client a name, for the whole site; "" removes it.
func (s *Site) NameClient(client netip.Addr, text string) error {
	if s.Privacy.NoNames {
		return ErrPrivacy
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.give(nameKey(namedClient, s.clientKey(client)), text, time.Now())
}

func (s *Site) clientKey(client netip.Addr) string { return fmt.Sprintf("%016x", s.hash(client)) }

// give keeps a name of this box's administrator. It is newer than the one before
// whatever the clocks say. s.mu must be held.
func (s *Site) give(key, text string, now time.Time) error {
	text = strings.TrimSpace(text)
	if !isName(text) {
		return ErrName
	}
	old, known := s.names.all[key]
	if !known && text == "" {
		return nil
	}
	one := name{key, text, max(now.UnixMilli(), old.at+1)}
	if !s.names.put(one, s.ID) {
		return ErrFull
	}
	return s.saveName(key)
}

// learn takes the names that a member told. It returns when to be told again of those that
// it could not keep: one that is too far in the future is not any more by then, and the
// disk may take what it did not. Zero is for never. s.mu must be held.
func (s *Site) learn(told []name, by string, now time.Time) (again time.Time, err error) {
	for _, one := range told {
		at := time.UnixMilli(one.given)
		if ripe := at.Add(-maxAhead); ripe.After(now) {
			if again.IsZero() || ripe.Before(again) {
				again = ripe
			}
			continue
		}
		switch {
		case one.key[0] == namedClient && s.Privacy.NoNames,
			given{text: one.text}.gone(one.key) && now.Sub(at) > goneFor,
			!s.names.put(one, by):
			continue
		}
		if err := s.learned(one, at, now); err != nil {
			return now.Add(askEvery), err
		}
	}
	return again, nil
}

// learned keeps a name that is new, and drops a box that was forgotten. s.mu must be held.
func (s *Site) learned(one name, at, now time.Time) error {
	if err := s.saveName(one.key); err != nil {
		return err
	}
	r := s.boxes[one.key[1:]]
	if one.key[0] == forgottenBox && r != nil && r.away(now) && r.seen.Before(at.Add(maxAhead)) {
		return s.drop(r)
	}
	return nil
}

// BoxName is the name that an administrator gave to a box; "" if there is none. That of
// a local box is what this box's administrator calls it, or it calls itself.
func (s *Site) BoxName(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boxName(id)
}

func (s *Site) boxName(id string) string {
	own := ""
	if r := s.boxes[id]; r != nil && r.unproved() {
		own = r.report.Name
	}
	return cmp.Or(s.names.all[nameKey(namedBox, id)].text, own)
}

// Serves is where clients reach a box, as it told; not valid if it did not.
func (s *Site) Serves(id string) netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.boxes[id]; r != nil {
		return r.report.Serves
	}
	return netip.AddrPort{}
}

// ClientName is the name that an administrator gave to a client; "" if there is none.
func (s *Site) ClientName(client netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names.all) == 0 {
		return ""
	}
	return s.names.all[nameKey(namedClient, s.clientKey(client))].text
}

// nameValue is a name's row.
type nameValue struct {
	Text string
	At   int64
	By   string
}

func (s *Site) saveName(key string) error {
	g := s.names.all[key]
	b, err := json.Marshal(nameValue{g.text, g.at, g.by})
	if err != nil {
		return err
	}
	return s.Table.Put(append([]byte{nameRow}, key...), b)
}

// loadName reads a row, and reports whether it may stay.
func (s *Site) loadName(key string, value []byte) bool {
	var v nameValue
	if json.Unmarshal(value, &v) != nil || len(key) < 2 || s.Privacy.NoNames && key[0] == namedClient {
		return false
	}
	s.names.all[key] = given{v.Text, v.At, v.By}
	s.names.count(v.By, 1)
	return true
}

// tidyNames drops what was removed long ago.
func (s *Site) tidyNames(now time.Time) error {
	for key, g := range s.names.all {
		if !g.gone(key) || now.Sub(time.UnixMilli(g.at)) < goneFor {
			continue
		}
		s.names.remove(key)
		if err := s.Table.Delete(append([]byte{nameRow}, key...)); err != nil {
			return err
		}
	}
	return nil
}
