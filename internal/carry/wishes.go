package carry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

const (
	// maxWishes bounds the files that are remembered: a site uses some thousands of packages.
	maxWishes = 64 << 10
	// maxNewSuites bounds the suites that are remembered: clients may ask for any.
	maxNewSuites = 256
	// maxUnwritten bounds the URLs that are in memory until the next write.
	maxUnwritten = 4096
	writeEvery   = 2 * time.Second
)

// Wishes remembers what clients asked for in vain, for the want-list: files that a signed
// index lists, and suites. It knows nothing of who asked. It is rows of 'w' and a digest, with
// the URL of a file, and of 's' and the digest of a suite's URL, with that. All methods may be
// called by several goroutines at once.
type Wishes struct {
	table   *kv.Table
	catalog interface {
		Resolve(ctx context.Context, l catalog.Location, pin func(catalog.Location) digest.Digest) catalog.Entry
	}
	log  *slog.Logger
	most int // maxWishes, but for tests

	mu        sync.Mutex // guards what follows
	unwritten map[string]bool
}

// NewWishes keeps them in a table, which others may use for rows of another kind.
func NewWishes(table *kv.Table, c *catalog.Catalog, log *slog.Logger) *Wishes {
	return &Wishes{table: table, catalog: c, log: log, most: maxWishes, unwritten: make(map[string]bool)}
}

// Note notes that somebody asked for a URL in vain. It does not block.
func (w *Wishes) Note(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.unwritten) < maxUnwritten {
		w.unwritten[url] = true
	}
}

// Run writes what is noted until ctx ends, and then what is left.
func (w *Wishes) Run(ctx context.Context) error {
	t := time.NewTicker(writeEvery)
	defer t.Stop()
	for done := false; !done; {
		select {
		case <-t.C:
		case <-ctx.Done():
			done = true
		}
		if err := w.write(context.WithoutCancel(ctx)); err != nil {
			w.log.Warn("what clients asked for in vain is not noted for the want-list", "err", err)
		}
	}
	return nil
}

// write writes what is noted.
func (w *Wishes) write(ctx context.Context) error {
	w.mu.Lock()
	urls := w.unwritten
	w.unwritten = make(map[string]bool)
	w.mu.Unlock()
	if len(urls) == 0 {
		return nil
	}
	files, err := w.count('w')
	if err != nil {
		return err
	}
	suites, err := w.count('s')
	if err == nil && suites >= maxNewSuites { // those forgotten are asked for again
		_, err = w.Suites(func(catalog.Location) bool { return true })
		suites = 0
	}
	if err != nil {
		return err
	}
	return w.table.Update(func(tx *kv.Tx) error {
		for url := range urls {
			l, err := catalog.ParseURL(url)
			if err != nil {
				continue
			}
			e := w.catalog.Resolve(ctx, l, nil)
			switch {
			case e.Kind == catalog.Content && e.Signed && e.Size >= 0 && files < w.most:
				files++
				err = tx.Put(append([]byte{'w'}, e.Digest[:]...), []byte(l.String()))
			case e.Kind == catalog.ReleaseFile && suites < maxNewSuites:
				suites++
				d := digest.Of([]byte(e.Suite.String()))
				err = tx.Put(append([]byte{'s'}, d[:]...), []byte(e.Suite.String()))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *Wishes) count(kind byte) (n int, err error) {
	err = w.table.Scan([]byte{kind}, nil, func(_, _ []byte) bool {
		n++
		return true
	})
	return n, err
}

// Suites returns the suites that clients asked for in vain, and forgets those that are
// known by now.
func (w *Wishes) Suites(known func(catalog.Location) bool) (all []catalog.Location, err error) {
	var gone [][]byte
	err = w.table.Scan([]byte{'s'}, nil, func(k, value []byte) bool {
		l, err := catalog.ParseURL(string(value))
		if err != nil || known(l) {
			gone = append(gone, bytes.Clone(k))
		} else {
			all = append(all, l)
		}
		return true
	})
	return all, w.forget(gone, err)
}

// forget deletes rows.
func (w *Wishes) forget(gone [][]byte, err error) error {
	for _, k := range gone {
		err = errors.Join(err, w.table.Delete(k))
	}
	if err != nil {
		return fmt.Errorf("reading what clients asked for in vain: %w", err)
	}
	return nil
}

// Files returns what is still wanted: listed, and not held. Others are forgotten.
func (w *Wishes) Files(ctx context.Context, s Store) (all []catalog.Entry, err error) {
	var gone [][]byte
	err = w.table.Scan([]byte{'w'}, nil, func(k, value []byte) bool {
		l, err := catalog.ParseURL(string(value))
		if err == nil && len(k) == 1+digest.Size {
			e := w.catalog.Resolve(ctx, l, nil)
			if _, err := s.Stat(digest.Digest(k[1:])); err != nil && e.Kind == catalog.Content && e.Digest == digest.Digest(k[1:]) {
				all = append(all, e)
				return true
			}
		}
		gone = append(gone, bytes.Clone(k))
		return true
	})
	return all, w.forget(gone, err)
}
