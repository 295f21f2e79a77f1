package main

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// cache is what serves a trace. A size is the file's.
type cache interface {
	// get requests a file, and keeps it if it is not there.
	get(f file, size int64, now time.Duration) (hit bool, err error)
	// put keeps a file that nobody has requested.
	put(f file, size int64, now time.Duration) error
	// supersede says that no Release lists a file any more.
	supersede(f file, size int64) error
}

// box is the store of a box, whose clock is the trace's.
type box struct {
	dir   string
	db    *kv.DB
	store *store.Store
	now   time.Duration
	flush time.Duration // when uses were written last
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newBox opens an empty store of so many bytes in a directory of its own.
func newBox(quota int64) (*box, error) {
	dir, err := os.MkdirTemp("", "trace-*")
	if err != nil {
		return nil, err
	}
	b := &box{dir: dir}
	if b.db, err = kv.Open(filepath.Join(dir, "db"), slog.New(slog.DiscardHandler)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	b.store, err = store.Open(store.Options{
		Dir: dir, Table: b.db.Table("store"), Quota: store.Quota{Bytes: quota},
		Now: func() time.Time { return epoch.Add(b.now) },
	})
	if err != nil {
		return nil, errors.Join(err, b.db.Close(), os.RemoveAll(dir))
	}
	return b, nil
}

func (b *box) close() error {
	return errors.Join(b.store.Close(), b.db.Close(), os.RemoveAll(b.dir))
}

// tick sets the clock. Uses are written as a box writes them, before they are so far
// apart that they count as two.
func (b *box) tick(now time.Duration) error {
	b.now = max(b.now, now)
	if b.now-b.flush < 15*time.Minute {
		return nil
	}
	b.flush = b.now
	return b.store.Flush()
}

// contentOf returns the bytes of a file, of which only the digest matters.
func contentOf(f file, size int64) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(f.pkg))
	binary.BigEndian.PutUint64(id[8:], uint64(f.version))
	return bytes.Repeat(id[:], int(size+15)/16)[:size]
}

func (b *box) get(f file, size int64, now time.Duration) (hit bool, err error) {
	if err := b.tick(now); err != nil {
		return false, err
	}
	content := contentOf(f, size)
	d := digest.Of(content)
	blob, err := b.store.Open(d)
	if err == nil {
		return true, blob.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return false, b.keep(d, content)
}

func (b *box) keep(d digest.Digest, content []byte) error {
	err := b.store.Put(d, int64(len(content)), bytes.NewReader(content), store.Meta{})
	if errors.Is(err, store.ErrNoSpace) {
		return nil // it passes through
	}
	return err
}

func (b *box) put(f file, size int64, now time.Duration) error {
	if err := b.tick(now); err != nil {
		return err
	}
	content := contentOf(f, size)
	return b.keep(digest.Of(content), content)
}

func (b *box) supersede(f file, size int64) error {
	err := b.store.Listed(digest.Of(contentOf(f, size)), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("superseding a file: %w", err)
	}
	return nil
}

// lru evicts the file that was not used for longest, or, if it is to, first what is
// superseded.
type lru struct {
	quota, bytes int64
	first        bool // superseded files
	queues       [2]*list.List
	held         map[file]*list.Element
}

type entry struct {
	file  file
	size  int64
	queue int
}

func newLRU(quota int64, supersededFirst bool) *lru {
	return &lru{quota: quota, first: supersededFirst, queues: [2]*list.List{list.New(), list.New()}, held: make(map[file]*list.Element)}
}

func (c *lru) get(f file, size int64, _ time.Duration) (bool, error) {
	if e, held := c.held[f]; held {
		c.queues[e.Value.(entry).queue].MoveToBack(e)
		return true, nil
	}
	if size > c.quota {
		return false, nil
	}
	for q := 0; c.bytes+size > c.quota; {
		e := c.queues[q].Front()
		if e == nil {
			q++
			continue
		}
		c.remove(e)
	}
	c.held[f] = c.queues[1].PushBack(entry{f, size, 1})
	c.bytes += size
	return false, nil
}

func (c *lru) remove(e *list.Element) {
	old := e.Value.(entry)
	c.queues[old.queue].Remove(e)
	delete(c.held, old.file)
	c.bytes -= old.size
}

func (c *lru) put(f file, size int64, now time.Duration) error {
	_, err := c.get(f, size, now)
	return err
}

func (c *lru) supersede(f file, size int64) error {
	if e, held := c.held[f]; held && c.first {
		c.queues[1].Remove(e)
		c.held[f] = c.queues[0].PushBack(entry{f, size, 0})
	}
	return nil
}
