package clients

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// restrict removes what privacy does not allow, when the notes are opened.
func (n *Notes) restrict() (removed bool, err error) {
	n.saving.Lock()
	defer n.saving.Unlock()
	if n.privacy.NoClients {
		all := slices.Collect(maps.Keys(n.tallies))
		return len(all) > 0, n.forgetAll(all)
	}
	if n.privacy.NoPackages {
		for _, client := range slices.Collect(maps.Keys(n.tallies)) {
			gone, err := n.unlink(client)
			if removed = removed || gone; err != nil {
				return removed, err
			}
		}
	}
	old := n.old()
	return removed || len(old) > 0, n.forgetAll(old)
}

// unlink removes what says what a client requested.
func (n *Notes) unlink(client netip.Addr) (removed bool, err error) {
	for _, kind := range []byte{kindPackage, kindFailure} {
		if n.rows(client, kind) == 0 {
			continue
		}
		all, err := n.rowsOf(kind, client)
		if err != nil {
			return removed, err
		}
		gone := slices.DeleteFunc(slices.Clone(all), func(k keyRow) bool { return kind == kindFailure && k.row.Text+k.row.Cause == "" })
		if err := n.remove(client, kind, gone, len(all)); err != nil {
			return removed, err
		}
		removed = removed || len(gone) > 0
	}
	return removed, nil
}

// expire forgets the clients whose notes are older than they are kept.
func (n *Notes) expire() error { return n.forgetAll(n.old()) }

// old are those clients. One that began in the future, by a clock that was ahead, may be.
func (n *Notes) old() (all []netip.Addr) {
	if n.privacy.Keep == 0 {
		return nil
	}
	now := unixNow()
	end := now - int64(n.privacy.Keep.Seconds())
	n.mu.Lock()
	defer n.mu.Unlock()
	for client, t := range n.tallies {
		if t.Began < end || t.Began > now {
			all = append(all, client)
		}
	}
	return all
}

func (n *Notes) forgetAll(all []netip.Addr) error {
	for _, client := range all {
		if err := n.forget(client); err != nil {
			return err
		}
	}
	return nil
}

// Erase forgets a client; known reports whether there was anything. One that comes again,
// or is in the middle of a download, begins anew.
func (n *Notes) Erase(client netip.Addr) (known bool, err error) {
	client = plain(client)
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	known = n.tallies[client] != nil
	for key := range n.pending {
		if of, err := clientOf([]byte(key)); err == nil && of == client {
			delete(n.pending, key)
		}
	}
	n.mu.Unlock()
	if !known {
		return false, nil
	}
	if err := n.forget(client); err != nil {
		return true, fmt.Errorf("erasing the notes about a client: %w", err)
	}
	return true, nil
}

// parts splits the name of a row at its zero bytes into k parts.
func parts(name string, k int) []string {
	all := strings.SplitN(name, "\x00", k)
	for len(all) < k {
		all = append(all, "")
	}
	return all
}
