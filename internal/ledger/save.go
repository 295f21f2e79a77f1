package ledger

import (
	"cmp"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"millpond/internal/kv"
	"millpond/internal/party"
)

// Others is the account of all that have no account of their own: clients
// without a valid address, hosts without a name or with one too long, and
// those whose accounts were folded because there were too many.
const Others = "others"

// NoPackage is the account, among those of packages, of what is about none:
// indices and Releases, files that no index lists, and all that was counted
// before there were accounts of packages. No package can have this name.
const NoPackage = "(no package)"

// The largest number of accounts of each kind, Others included. Each takes
// about 100 bytes on disk, that of a package up to 600 more for its recent clients.
const (
	maxClients  = 20_000
	maxHosts    = 4096
	maxPeers    = 4096
	maxPackages = 20_000
)

// hostKind is the kind of the accounts of hosts.
const hostKind = 'o'

// book is all accounts of a kind.
type book struct {
	kind  byte // first byte of their keys
	limit int
	rows  int // in the table
}

func (b *book) key(name string) []byte { return append([]byte{b.kind}, name...) }

// Flush writes what was counted so far. When it has returned nil, that
// survives the death of the process. When it fails, nothing is lost: the next
// Flush tries again.
func (l *Ledger) Flush() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	return l.flush()
}

// flush is Flush with l.saving held.
func (l *Ledger) flush() error {
	p, totals := l.takePending()
	var err error
	if p != nil {
		err = l.save(p, totals)
	}
	saved := err == nil
	if now := time.Now(); saved {
		err = errors.Join(l.tunnels.Flush(), l.mirrors.Flush(), l.trim(now), l.expire(now))
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if !saved {
		l.pending.merge(p)
	}
	l.err = err
	return err
}

// takePending returns what was counted since it was called before, nil if that is
// nothing, and the totals with it.
func (l *Ledger) takePending() (*pending, row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending.empty() {
		return nil, l.totals
	}
	p := l.pending
	l.pending = newPending()
	return p, l.totals
}

// save adds p to the table in one transaction. l.saving must be held.
func (l *Ledger) save(p *pending, totals row) error {
	c := &changes{ledger: l, rows: map[string]*row{string(totalsKey): &totals}}
	for start, counts := range p.minutes {
		for step := range steps {
			s := Step(step)
			r, _, err := c.row(s.key(s.start(start)))
			if err != nil {
				return err
			}
			r.add(*counts)
		}
	}
	same := func(name string) string { return name }
	books := [...]struct {
		book *book
		rows map[string]row
		size int
	}{
		{book: &l.clients, rows: p.clients.named(maxName, clientName)},
		{book: &l.hosts, rows: p.hosts.named(maxName, same)},
		{book: &l.peers, rows: p.peers.named(maxName, same)},
		{book: &l.packages, rows: p.packages.named(maxPackage, same)},
	}
	for i := range books {
		var err error
		if books[i].size, err = c.addTo(books[i].book, books[i].rows); err != nil {
			return err
		}
	}
	if err := l.table.Update(c.write); err != nil {
		return err
	}
	for _, b := range books {
		b.book.rows = b.size
	}
	return nil
}

func clientName(a netip.Addr) string {
	if !a.IsValid() {
		return Others
	}
	return a.String()
}

// changes is what one flush does to the table.
type changes struct {
	ledger *Ledger
	rows   map[string]*row // to write, by key
	gone   [][]byte        // keys to delete
}

// row returns the row to change, and whether the table has it.
func (c *changes) row(key []byte) (r *row, found bool, err error) {
	if r := c.rows[string(key)]; r != nil {
		return r, true, nil
	}
	old, err := c.ledger.read(key)
	found = err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	c.rows[string(key)] = &old
	return &old, found, nil
}

// addTo adds rows to the accounts of b and, if these become too many, folds
// some into Others. It returns how many there are then.
func (c *changes) addTo(b *book, rows map[string]row) (size int, err error) {
	size = b.rows
	for name, r := range rows {
		account, found, err := c.row(b.key(name))
		if err != nil {
			return 0, err
		}
		account.merge(r)
		if !found {
			size++
		}
	}
	if size <= b.limit {
		return size, nil
	}
	_, found, err := c.row(b.key(Others))
	if err != nil {
		return 0, err
	}
	if !found {
		size++
	}
	// Folding reads all accounts, so it makes room for the next twentieth.
	old, err := c.first(b, max(size-b.limit, b.limit/20))
	if err != nil {
		return 0, err
	}
	return size - len(old), c.fold(b, old)
}

// fold moves what accounts have to Others.
func (c *changes) fold(b *book, accounts []keyRow) error {
	others, _, err := c.row(b.key(Others))
	if err != nil {
		return err
	}
	for _, a := range accounts {
		others.merge(a.row)
		c.gone = append(c.gone, a.key)
	}
	return nil
}

type keyRow struct {
	key []byte
	row row
}

// passing is for how long a host was seen at least that does not give way to those of
// a flood.
const passing = time.Hour

// first returns the n accounts of b that give way first: those not seen for the longest
// time, of hosts by package party's rule, as any client can name hosts without end.
// Those that this flush writes are not among them.
func (c *changes) first(b *book, n int) ([]keyRow, error) {
	var all []keyRow
	var hosts []party.Entry
	err := c.ledger.scan([]byte{b.kind}, nil, func(key []byte, r row) bool {
		if c.rows[string(key)] == nil {
			all = append(all, keyRow{slices.Clone(key), r})
			e := party.Entry{Host: string(key[1:]), Weight: 1, Used: r.last}
			if r.last-r.first >= int64(passing/time.Second) {
				e.Class = 1
			}
			hosts = append(hosts, e)
		}
		return true
	})
	if b.kind == hostKind {
		var chosen []keyRow
		for _, i := range party.Order(hosts, int64(n)) {
			chosen = append(chosen, all[i])
		}
		return chosen, err
	}
	slices.SortFunc(all, func(x, y keyRow) int {
		return cmp.Or(cmp.Compare(x.row.last, y.row.last), strings.Compare(string(x.key), string(y.key)))
	})
	return all[:min(n, len(all))], err
}

func (c *changes) write(tx *kv.Tx) error {
	for key, r := range c.rows {
		if err := tx.Put([]byte(key), r.encode()); err != nil {
			return err
		}
	}
	for _, key := range c.gone {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// trim deletes the minutes and hours that are older than promised, once a
// minute. l.saving must be held.
func (l *Ledger) trim(now time.Time) error {
	if since := now.Sub(l.trimmed); since >= 0 && since < time.Minute {
		return nil
	}
	batch := l.table.Batch()
	defer batch.Cancel()
	for i, step := range steps {
		if step.keep == 0 {
			continue
		}
		end := Step(i).key(unix(now.Add(-step.keep)))
		var fault error
		err := l.table.Scan([]byte{step.kind}, nil, func(key, _ []byte) bool {
			if string(key) >= string(end) {
				return false
			}
			fault = batch.Delete(key)
			return fault == nil
		})
		if err := errors.Join(err, fault); err != nil {
			return err
		}
	}
	if err := batch.Flush(); err != nil {
		return err
	}
	l.trimmed = now
	return nil
}
