package clients

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"millpond/internal/kv"
)

// removeAtOnce is how many rows one transaction removes.
const removeAtOnce = 1000

func unixNow() int64 { return max(time.Now().Unix(), 0) }

// trim keeps the bounds after pending was written. Caller holds saving.
func (n *Notes) trim(pending map[string]row) error {
	seen := make(map[netip.Addr]bool)
	for key := range pending {
		client, err := clientOf([]byte(key))
		if err != nil || seen[client] {
			continue
		}
		seen[client] = true
		for kind, limit := range map[byte]int{kindSuite: n.limits.suites, kindFailure: n.limits.failures, kindPackage: n.limits.packages} {
			have := n.rows(client, kind)
			if have <= limit {
				continue
			}
			if err := n.removeOldest(client, kind, have-limit+limit/8); err != nil {
				return err
			}
		}
	}
	if err := n.trimInAll(); err != nil {
		return err
	}
	return n.trimClients()
}

// trimInAll removes packages of those clients that have most, a quarter of theirs, until
// all have no more than they may.
func (n *Notes) trimInAll() error {
	for {
		client, have, over := n.largest()
		if !over {
			return nil
		}
		if err := n.removeOldest(client, kindPackage, max(have/4, 1)); err != nil {
			return err
		}
	}
}

// largest is the client with most packages; over reports whether there are too many in all.
func (n *Notes) largest() (client netip.Addr, have int, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.inAll <= n.limits.inAll {
		return client, 0, false
	}
	for c, t := range n.tallies {
		if k := t.Rows[string(kindPackage)]; k > have {
			client, have = c, k
		}
	}
	return client, have, have > 0
}

// trimClients forgets the clients that were not seen for longest, if there are too many,
// and some more, since it looks at all of them.
func (n *Notes) trimClients() error {
	n.mu.Lock()
	var oldest []netip.Addr
	if over := len(n.tallies) - n.limits.clients; over > 0 {
		oldest = slices.SortedFunc(maps.Keys(n.tallies), func(a, b netip.Addr) int {
			return cmp.Or(cmp.Compare(n.tallies[a].Seen, n.tallies[b].Seen), a.Compare(b))
		})
		oldest = oldest[:min(over+n.limits.clients/20, len(oldest))]
	}
	n.mu.Unlock()
	for _, client := range oldest {
		if err := n.forget(client); err != nil {
			return err
		}
	}
	return nil
}

// rows is how many rows of a kind the table has of a client.
func (n *Notes) rows(client netip.Addr, kind byte) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tallies[client]; t != nil {
		return t.Rows[string(kind)]
	}
	return 0
}

// removeOldest removes k rows of a client.
func (n *Notes) removeOldest(client netip.Addr, kind byte, k int) error {
	all, err := n.rowsOf(kind, client)
	if err != nil {
		return err
	}
	return n.remove(client, kind, all[len(all)-min(k, len(all)):], len(all))
}

// remove removes some of a client's rows of a kind, of which there are have.
func (n *Notes) remove(client netip.Addr, kind byte, rows []keyRow, have int) error {
	for part := range slices.Chunk(rows, removeAtOnce) {
		have -= len(part)
		n.mu.Lock()
		t := n.tallyOf(client)
		after := maps.Clone(t.Rows)
		after[string(kind)] = have
		value, err := json.Marshal(tally{t.Began, t.Seen, t.Updated, after})
		n.mu.Unlock()
		if err == nil {
			err = n.table.Free(func(tx *kv.Tx) error {
				for _, r := range part {
					if err := tx.Delete([]byte(r.key)); err != nil {
						return err
					}
				}
				return tx.Put([]byte(keyOf(kindTally, client, "")), value)
			})
		}
		if err != nil {
			return err
		}
		n.adopt(map[netip.Addr]map[string]int{client: after})
	}
	return nil
}

// forget removes all that the table has of a client.
func (n *Notes) forget(client netip.Addr) error {
	for _, kind := range noted {
		all, err := n.rowsOf(kind, client)
		if err == nil {
			err = n.remove(client, kind, all, len(all))
		}
		if err != nil {
			return err
		}
	}
	err := n.table.Free(func(tx *kv.Tx) error { return tx.Delete([]byte(keyOf(kindTally, client, ""))) })
	if err == nil {
		n.mu.Lock()
		delete(n.tallies, client)
		n.mu.Unlock()
	}
	return err
}
