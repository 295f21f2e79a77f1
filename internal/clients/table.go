package clients

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"time"

	"millpond/internal/kv"
)

// The keys of the table are a kind, the client's address as 16 bytes, and a name: of a
// suite its ring and URL, of a package its name, architecture and type, of a failure a
// hash of what it is; of a tally nothing. Rows are JSON.
const (
	kindTally   = 'c'
	kindSuite   = 's'
	kindPackage = 'p'
	kindFailure = 'f'
)

// noted are the kinds that a client has several rows of.
var noted = []byte{kindSuite, kindPackage, kindFailure}

// row is a note.
type row struct {
	Text   string `json:"t,omitempty"` // a generation, a version, a URL
	Cause  string `json:"c,omitempty"`
	Status int    `json:"s,omitempty"`
	First  int64  `json:"f"` // Unix seconds
	Last   int64  `json:"l"`
	Times  int64  `json:"n"`
	Bytes  int64  `json:"b,omitempty"`
}

// merge adds a later note of the same thing.
func (r *row) merge(o row) {
	if r.First == 0 {
		r.First = o.First
	}
	if o.Text != "" {
		r.Text = o.Text
	}
	r.Cause, r.Status = o.Cause, o.Status
	r.Last = max(r.Last, o.Last)
	r.Times += o.Times
	r.Bytes += o.Bytes
}

func keyOf(kind byte, client netip.Addr, name string) string {
	return string(prefixOf(kind, client)) + name
}

func prefixOf(kind byte, client netip.Addr) []byte {
	addr := client.As16()
	return append([]byte{kind}, addr[:]...)
}

const prefixLen = 1 + 16

// clientOf returns the client in a key.
func clientOf(key []byte) (netip.Addr, error) {
	if len(key) < prefixLen {
		return netip.Addr{}, fmt.Errorf("%.100q: %w", key, errKey)
	}
	return netip.AddrFrom16([16]byte(key[1:prefixLen])).Unmap(), nil
}

// load reads the tallies, and when the notes began. What is damaged is no reason not to
// start: a tally is made anew from its client's rows, and a key of no client goes.
func (n *Notes) load() error {
	var bad [][]byte
	var damaged []netip.Addr
	err := n.table.Scan([]byte{kindTally}, nil, func(key, value []byte) bool {
		client, err := clientOf(key)
		if err != nil {
			bad = append(bad, bytes.Clone(key))
			return true
		}
		t := &tally{Rows: make(map[string]int)}
		if json.Unmarshal(value, t) != nil || t.Rows == nil {
			damaged = append(damaged, client)
			return true
		}
		n.tallies[client] = t
		n.inAll += t.Rows[string(kindPackage)]
		return true
	})
	for _, key := range bad {
		err = errors.Join(err, n.table.Delete(key))
	}
	for _, client := range damaged {
		err = errors.Join(err, n.recount(client))
	}
	if err != nil {
		return err
	}
	n.began, err = kv.GetJSON[time.Time](n.table, beganKey)
	if err == nil && n.began.IsZero() {
		n.began = time.Now().UTC().Truncate(time.Second)
		err = kv.PutJSON(n.table, beganKey, n.began)
	}
	return err
}

// recount makes a client's tally from its rows. One with a damaged row began long ago, so
// that it is not kept for longer than it may be.
func (n *Notes) recount(client netip.Addr) error {
	t := &tally{Began: unixNow(), Rows: make(map[string]int)}
	for _, kind := range noted {
		all, err := n.rowsOf(kind, client)
		if err != nil {
			return err
		}
		for _, k := range all {
			t.Began, t.Seen = min(t.Began, k.row.First), max(t.Seen, k.row.Last)
			if kind == kindSuite {
				t.Updated = max(t.Updated, k.row.Last)
			}
		}
		t.Rows[string(kind)] = len(all)
	}
	n.tallies[client] = t
	n.inAll += t.Rows[string(kindPackage)]
	return nil
}

// beganKey has the time at which the table was made.
const beganKey = "b"

// Flush writes what was noted so far, and removes what is too much or too old.
func (n *Notes) Flush() error {
	n.saving.Lock()
	defer n.saving.Unlock()
	return n.flush()
}

// flush is Flush with n.saving held.
func (n *Notes) flush() error {
	n.mu.Lock()
	pending := n.pending
	n.pending = make(map[string]row)
	n.mu.Unlock()
	if err := n.write(pending); err != nil {
		n.putBack(pending)
		return fmt.Errorf("writing notes about clients: %w", err)
	}
	return errors.Join(n.expire(), n.trim(pending))
}

// putBack has the next flush write what this one could not.
func (n *Notes) putBack(pending map[string]row) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, r := range pending {
		later, known := n.pending[key]
		if !known && len(n.pending) >= n.limits.pending {
			continue
		}
		if known {
			r.merge(later)
		}
		n.pending[key] = r
	}
}

// write adds pending to the table in one transaction.
func (n *Notes) write(pending map[string]row) error {
	if len(pending) == 0 {
		return nil
	}
	rows := make(map[string][]byte, len(pending))
	fresh := make(map[netip.Addr]map[string]int) // new rows by client and kind
	for key, r := range pending {
		old, err := n.read(key)
		known := err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		old.merge(r)
		if rows[key], err = json.Marshal(old); err != nil {
			return err
		}
		client, err := clientOf([]byte(key))
		if err != nil {
			return err
		}
		if fresh[client] == nil {
			fresh[client] = make(map[string]int)
		}
		if !known {
			fresh[client][key[:1]]++
		}
	}
	tallies, err := n.count(fresh, rows)
	if err != nil {
		return err
	}
	err = n.table.Update(func(tx *kv.Tx) error { return put(tx, rows) })
	if err == nil {
		n.adopt(tallies)
	}
	return err
}

// count adds the tallies with new rows to what is written, and returns them.
func (n *Notes) count(fresh map[netip.Addr]map[string]int, rows map[string][]byte) (map[netip.Addr]map[string]int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	sums := make(map[netip.Addr]map[string]int, len(fresh))
	for client, more := range fresh {
		t := n.tallyOf(client)
		after := maps.Clone(t.Rows)
		for kind, k := range more {
			after[kind] += k
		}
		value, err := json.Marshal(tally{t.Began, t.Seen, t.Updated, after})
		if err != nil {
			return nil, err
		}
		rows[keyOf(kindTally, client, "")] = value
		sums[client] = after
	}
	return sums, nil
}

// tallyOf returns a client's tally, a new one if it was erased meanwhile. Caller holds mu.
func (n *Notes) tallyOf(client netip.Addr) *tally {
	t := n.tallies[client]
	if t == nil {
		now := unixNow()
		t = &tally{Began: now, Seen: now, Rows: make(map[string]int)}
		n.tallies[client] = t
	}
	return t
}

// adopt takes the numbers of rows that the table has now.
func (n *Notes) adopt(sums map[netip.Addr]map[string]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for client, rows := range sums {
		t := n.tallyOf(client)
		n.inAll += rows[string(kindPackage)] - t.Rows[string(kindPackage)]
		t.Rows = rows
	}
}

func put(tx *kv.Tx, rows map[string][]byte) error {
	for key, value := range rows {
		if err := tx.Put([]byte(key), value); err != nil {
			return err
		}
	}
	return nil
}

func (n *Notes) read(key string) (row, error) {
	var r row
	value, err := n.table.Get([]byte(key))
	if err == nil && json.Unmarshal(value, &r) != nil {
		r = row{} // damaged: noted anew
	}
	return r, err
}

// keyRow is a row of the table.
type keyRow struct {
	key string
	row row
}

// name is what follows the client in the key.
func (k keyRow) name() string { return k.key[prefixLen:] }

// rowsOf reads a client's rows of a kind, the latest first. A damaged one is empty, and so
// the first that gives way: it has to be there to be removed.
func (n *Notes) rowsOf(kind byte, client netip.Addr) ([]keyRow, error) {
	var all []keyRow
	err := n.table.Scan(prefixOf(kind, client), nil, func(key, value []byte) bool {
		k := keyRow{key: string(key)}
		if json.Unmarshal(value, &k.row) != nil {
			k.row = row{}
		}
		all = append(all, k)
		return true
	})
	slices.SortStableFunc(all, func(a, b keyRow) int { return cmp.Compare(b.row.Last, a.row.Last) })
	return all, err
}
