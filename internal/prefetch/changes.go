package prefetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/kv"
)

const (
	// settle is how long a change waits for others: the suites of one release are
	// published, and checked, within seconds of each other.
	settle = 5 * time.Second
	// retryEvery is when what was left is tried again, for lack of budget or as the
	// mirror was away. A plan takes a second of the processor at most.
	retryEvery = time.Hour
	// maxChanged bounds the suites that wait.
	maxChanged = 1024
)

// change is a suite that has changed.
type change struct {
	due time.Time // when it is dealt with
	seq uint64    // tells it from a later change of the suite
}

// changes are the suites whose update wave is not fetched yet. They survive a restart.
type changes struct {
	table *kv.Table
	wake  broadcast.Wake // one is due

	mu    sync.Mutex
	dirs  map[catalog.Location]change // guarded by mu; at most maxChanged
	seq   uint64                      // guarded by mu; of the last change
	dirty bool                        // guarded by mu; dirs is to be written
}

// changedKey is that of the row: the URLs of the suites, in JSON.
const changedKey = "changed"

// open reads what an earlier process left.
func (c *changes) open(t *kv.Table, log *slog.Logger) error {
	c.table, c.wake, c.dirs = t, broadcast.NewWake(), make(map[catalog.Location]change)
	b, err := t.Get([]byte(changedKey))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading which suites have changed: %w", err)
	}
	var urls []string
	if err := json.Unmarshal(b, &urls); err != nil {
		log.Warn("which suites had changed is forgotten, since the row cannot be read", "err", err)
		return nil
	}
	for _, url := range urls {
		dir, err := catalog.ParseURL(url)
		if err != nil {
			log.Warn("the change of a suite is forgotten, since its URL cannot be read", "url", url, "err", err)
			continue
		}
		c.add(dir, settle)
	}
	return nil
}

// Changed has the update wave of the suite in that directory, whose indices were read,
// fetched soon, as far as the budget goes. It does not block.
func (s *Prefetcher) Changed(dir catalog.Location) {
	if !s.offline && s.budget > 0 {
		s.changes.add(dir, settle)
	}
}

// add has a suite be due after a while. What is beyond maxChanged waits for its next
// change.
func (c *changes) add(dir catalog.Location, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.dirs[dir]; !known && len(c.dirs) >= maxChanged {
		return
	}
	c.seq++
	c.dirs[dir] = change{time.Now().Add(after), c.seq}
	c.dirty = true
}

// due returns the suites that are.
func (c *changes) due() map[catalog.Location]change {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[catalog.Location]change)
	for dir, ch := range c.dirs {
		if time.Until(ch.due) <= 0 {
			all[dir] = ch
		}
	}
	return all
}

// done says that suites were dealt with, or are to be once more later.
func (c *changes) done(all map[catalog.Location]change, later bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for dir, ch := range all {
		switch {
		case c.dirs[dir].seq != ch.seq: // it has changed again
		case later:
			c.dirs[dir] = change{time.Now().Add(retryEvery), ch.seq}
		default:
			delete(c.dirs, dir)
			c.dirty = true
		}
	}
}

// flush writes which suites wait.
func (c *changes) flush() error {
	c.mu.Lock()
	dirty := c.dirty
	urls := make([]string, 0, len(c.dirs))
	for dir := range c.dirs {
		urls = append(urls, dir.String())
	}
	c.dirty = false
	c.mu.Unlock()
	if !dirty {
		return nil
	}
	slices.SortFunc(urls, strings.Compare)
	err := kv.PutJSON(c.table, changedKey, urls)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = true
	return fmt.Errorf("writing which suites have changed: %w", err)
}
