package release

import (
	"encoding/json"
	"errors"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/party"
)

const (
	// maxRecords bounds the records of suites, about 1 KB each: all that the catalog
	// may know, and as many again that it has forgotten.
	maxRecords = 8192
	// pinnedShare is the part of the cache that Release files may take. They are
	// pinned, and would leave no room otherwise: each may have maxSize.
	pinnedShare = 8
	// maxAbsent bounds the suites remembered of which nothing is held, for the second
	// for which that counts.
	maxAbsent = 1024
)

// tally is what the records take, those of Release files that came with a login
// among them.
type tally struct {
	records int
	bytes   int64 // of the files
}

// size is that of the files of s that are held.
func (s *suite) size() (n int64) {
	for _, v := range []record{s.InRelease, s.Release, s.Signature} {
		if !v.Digest.IsZero() {
			n += v.Size
		}
	}
	return n
}

func (s *suite) holdsAny() bool { return !s.InRelease.Digest.IsZero() || !s.Release.Digest.IsZero() }

// put replaces the record of a suite, which was before. One of which nothing is held,
// and that the catalog does not know, has none on disk: there is no end of such.
func (c *Cache) put(dir catalog.Location, private bool, before, s suite) error {
	name := key(dir, private)
	if !s.holdsAny() && !c.known(dir) {
		c.noteAbsent(name, s)
		if !before.holdsAny() {
			return nil
		}
		return c.deleteRecord(name)
	}
	over, err := c.write(name, before, s)
	if err != nil || !over {
		return err
	}
	return c.Sweep()
}

// write writes a record, and reports whether there are too many. A sweep deletes none
// that was written since it read it.
func (c *Cache) write(name string, before, s suite) (over bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.putRecord(name, s); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.absent, name)
	if !before.holdsAny() {
		c.tally.records++
	}
	c.tally.bytes += s.size() - before.size()
	return c.tally.records > c.maxRecords || c.tally.bytes > c.maxBytes(), nil
}

// maxBytes bounds the Release files that are pinned.
func (c *Cache) maxBytes() int64 { return c.store.Usage().QuotaBytes / pinnedShare }

func (c *Cache) noteAbsent(name string, s suite) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.absent) >= maxAbsent { // those forgotten cost a request
		clear(c.absent)
	}
	c.absent[name] = s
}

// onDisk is a record as a sweep finds it.
type onDisk struct {
	dir     catalog.Location
	private bool
	suite   suite
}

// Sweep deletes the records of suites of which nothing is held and that the catalog
// does not know and, where there are too many, some more by package party's rule: first
// those of suites that the catalog has forgotten, then those that nobody vouches for.
// Their Release files are evicted like other files.
func (c *Cache) Sweep() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	var gone, kept []onDisk
	var entries []party.Entry
	var sum tally
	for _, private := range []bool{false, true} {
		prefix := keyPrefix
		if private {
			prefix = privatePrefix
		}
		err := c.names.Scan([]byte(prefix), nil, func(k, value []byte) bool {
			dir, err := catalog.ParseURL(strings.TrimPrefix(string(k), prefix))
			r := onDisk{dir: dir, private: private}
			if err != nil || json.Unmarshal(value, &r.suite) != nil {
				return true // none that this version wrote
			}
			known := c.known(dir)
			if !known && !r.suite.holdsAny() {
				gone = append(gone, r)
				return true
			}
			e := party.Entry{Host: dir.Host, Weight: r.suite.size(), Used: max(r.suite.InRelease.Checked.Unix(), r.suite.Release.Checked.Unix())}
			if g, ok := c.catalog.Generation(dir, digest.Digest{}); ok {
				e.Class = 1
				if g.Signed {
					e.Class = 2
				}
			}
			kept, entries = append(kept, r), append(entries, e)
			sum.records++
			sum.bytes += e.Weight
			return true
		})
		if err != nil {
			return err
		}
	}
	for _, i := range c.tooMany(entries, sum) {
		gone = append(gone, kept[i])
		sum.records--
		sum.bytes -= entries[i].Weight
	}
	c.mu.Lock()
	c.tally = sum
	c.mu.Unlock()
	return c.deleteAll(gone)
}

// tooMany returns the indices of the entries, sum of all, that are over the bounds. As
// it takes reading all, it makes room for the next eighth.
func (c *Cache) tooMany(entries []party.Entry, sum tally) (gone []int) {
	if most := c.maxBytes(); sum.bytes > most {
		gone = party.Order(entries, sum.bytes-most/8*7)
	}
	if n := sum.records - len(gone); n > c.maxRecords {
		for i := range entries {
			entries[i].Weight = 1
		}
		gone = party.Order(entries, int64(sum.records-c.maxRecords/8*7))
	}
	return gone
}

func (c *Cache) deleteAll(gone []onDisk) error {
	var faults []error
	for _, r := range gone {
		for _, v := range []record{r.suite.InRelease, r.suite.Release, r.suite.Signature} {
			c.unpin(r.dir, r.private, v.Digest, record{}.Digest)
		}
		faults = append(faults, c.deleteRecord(key(r.dir, r.private)))
	}
	return errors.Join(faults...)
}
