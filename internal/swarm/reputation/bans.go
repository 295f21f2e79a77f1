package reputation

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"

	"millpond/internal/clock"
)

// banTimes are the durations of the first, second, … ban.
var banTimes = [...]time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

const (
	strikeForgotten = 24 * time.Hour // after the ban ended, one strike each
	maxBans         = 4096
)

// bans are the identities and networks that lied, with a row in the store for
// each.
type bans struct {
	store ds.Datastore
	log   *slog.Logger

	mu   sync.Mutex // guards rows and the store's order of writes
	rows map[ds.Key]ban
}

type ban struct {
	Strikes int
	Until   time.Time
	For     time.Duration `json:",omitempty"` // how long it was when it began
	By      string        `json:",omitempty"` // of a network: the identity that lied last
}

// bansKey is above all bans.
var bansKey = ds.NewKey("bans")

// IsBan reports whether key, of the datastore that New is given, is that of a ban.
func IsBan(key []byte) bool { return bansKey.IsAncestorOf(ds.RawKey(string(key))) }

func banKey(id string) ds.Key { return ds.NewKey("peer").ChildString(id) }

func networkKey(p netip.Prefix) ds.Key {
	return ds.NewKey("place").ChildString(strings.ReplaceAll(p.String(), "/", "+"))
}

func loadBans(store ds.Datastore, log *slog.Logger) (*bans, error) {
	b := &bans{store: namespace.Wrap(store, bansKey), log: log, rows: make(map[ds.Key]ban)}
	results, err := b.store.Query(context.Background(), query.Query{})
	if err != nil {
		return nil, fmt.Errorf("reading the bans: %w", err)
	}
	defer results.Close()
	for r := range results.Next() {
		if r.Error != nil {
			return nil, fmt.Errorf("reading the bans: %w", r.Error)
		}
		var row ban
		key := ds.RawKey(r.Key)
		if err := json.Unmarshal(r.Value, &row); err != nil {
			log.Warn("ban unreadable, dropped", "key", key, "err", err)
			b.drop(key)
			continue
		}
		b.rows[key] = row.recalled()
	}
	return b, nil
}

// recalled is the row of an earlier process in this one. If the clock was ahead then, the
// ban begins anew, and is no longer than it was.
func (r ban) recalled() ban {
	r.Until = clock.Recall(r.Until)
	if time.Until(r.Until) > r.For {
		r.Until = time.Now().Add(r.For)
	}
	return r
}

// strikes is how many of the row's strikes still count.
func (r ban) strikes(now time.Time) int {
	forgotten := max(now.Sub(r.Until)/strikeForgotten, 0)
	return max(r.Strikes-int(forgotten), 0)
}

// next returns the row after one more strike. Lies found while a ban is in force
// date from before it and do not prolong it.
func (r ban) next(now time.Time) ban {
	if now.Before(r.Until) {
		return r
	}
	r.Strikes = r.strikes(now) + 1
	r.For = banTimes[min(r.Strikes, len(banTimes))-1]
	r.Until = now.Add(r.For)
	return r
}

// lied bans id, and its network if that is valid and another identity lied
// there before. It returns when the ban of id ends.
func (b *bans) lied(id string, at netip.Prefix) time.Time {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.rows[banKey(id)].next(now)
	b.put(banKey(id), row)
	until := row.Until
	b.log.Warn("peer banned", "peer", id, "until", until, "strikes", row.Strikes)
	if !at.IsValid() {
		return until
	}
	row = b.rows[networkKey(at)]
	switch {
	case row.strikes(now) == 0:
		row = ban{Strikes: 1, Until: now}
	case row.By != id:
		row = row.next(now)
		b.log.Warn("address banned, several identities lied there", "addr", at, "until", row.Until)
	}
	row.By = id
	b.put(networkKey(at), row)
	return until
}

// set bans id for d, or lifts its ban and forgets its strikes.
func (b *bans) set(id string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d <= 0 {
		delete(b.rows, banKey(id))
		b.drop(banKey(id))
		return
	}
	row := b.rows[banKey(id)]
	row.Until, row.For = time.Now().Add(d), d
	b.put(banKey(id), row)
}

// put keeps the row; when there are too many, the one that ends first is
// dropped.
func (b *bans) put(key ds.Key, row ban) {
	if _, ok := b.rows[key]; !ok && len(b.rows) >= maxBans {
		var first ds.Key
		for k, r := range b.rows {
			if first.String() == "" || r.Until.Before(b.rows[first].Until) {
				first = k
			}
		}
		delete(b.rows, first)
		b.drop(first)
	}
	b.rows[key] = row
	value, err := json.Marshal(row)
	if err == nil {
		err = b.store.Put(context.Background(), key, value)
	}
	if err != nil {
		b.log.Warn("ban not saved, it ends at a restart", "key", key, "err", err)
	}
}

func (b *bans) drop(key ds.Key) {
	if err := b.store.Delete(context.Background(), key); err != nil {
		b.log.Warn("ended ban not deleted", "key", key, "err", err)
	}
}

// until returns zero if no ban of key is in force.
func (b *bans) until(key ds.Key) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if row := b.rows[key]; time.Now().Before(row.Until) {
		return row.Until
	}
	return time.Time{}
}

func (b *bans) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows) == 0
}

func (b *bans) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, row := range b.rows {
		if time.Now().Before(row.Until) {
			n++
		}
	}
	return n
}
