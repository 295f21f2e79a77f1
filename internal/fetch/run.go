package fetch

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// sweepEvery is how often records of evicted files are deleted, and sweepAfter
	// after how many new ones, of some 400 bytes each.
	sweepEvery = time.Hour
	sweepAfter = 10_000
	// sweepPage bounds what a sweep has in memory.
	sweepPage = 10_000
)

// recorded counts the records of unknown files that were written.
type recorded struct {
	n     atomic.Int64
	after int64 // sweepAfter, but for tests
	many  broadcast.Wake
}

func (r *recorded) note() {
	if r.n.Add(1)%r.after == 0 {
		r.many.Call()
	}
}

// Run keeps records in step with the store: it deletes those of evicted files,
// names blobs that have no name, and tells the store what Releases list. It verifies
// held Releases again when keys, clock or day have changed. If the catalog knows nothing,
// since its database was lost, it is taught what is held. It returns nil when ctx ends.
func (f *Fetcher) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { f.sweepRecords(ctx) })
	all.Go(func() { f.nameBlobs(ctx) })
	all.Go(func() { f.judgeBlobs(ctx) })
	all.Go(func() { f.releases.Run(ctx) })
	all.Go(func() { f.relearn(ctx) })
	all.Wait()
	return nil
}

func (f *Fetcher) sweepRecords(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.recorded.many:
		case <-t.C:
		}
		if err := f.sweep(); err != nil {
			f.log.Warn("outdated records of files not removed", "err", err)
		}
	}
}

// sweep deletes the records of unknown files and manifests whose bytes are
// gone, so that the table follows the store's size, and of logins accepted long
// ago.
func (f *Fetcher) sweep() error {
	held := func(key string) bool {
		v, err := kv.GetJSON[mirror.Copy](f.names, key)
		return err == nil && f.holds(v.Digest)
	}
	return errors.Join(
		f.access.Sweep(),
		f.releases.Sweep(),
		f.sweepKind("file/", held),
		f.sweepKind(privatePrefix, held),
		f.sweepKind("pieces/", func(key string) bool {
			d, err := digest.Parse(strings.TrimPrefix(key, "pieces/"))
			return err == nil && f.holds(d)
		}))
}

// sweepKind deletes the records of a kind that are not to be kept.
func (f *Fetcher) sweepKind(prefix string, keep func(key string) bool) error {
	for from := []byte(nil); ; {
		var gone [][]byte
		err := f.names.Scan([]byte(prefix), from, func(key, _ []byte) bool {
			if !keep(string(key)) {
				gone = append(gone, bytes.Clone(key))
			}
			return len(gone) < sweepPage
		})
		if err != nil {
			return err
		}
		if err := f.deleteRecords(gone); err != nil || len(gone) < sweepPage {
			return err
		}
		from = gone[len(gone)-1]
	}
}

func (f *Fetcher) deleteRecords(keys [][]byte) error {
	b := f.names.Batch()
	defer b.Cancel()
	for _, key := range keys {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return b.Flush()
}

// nameBlobs gives blobs without a name the one that the catalog knows them by,
// again whenever the catalog has learned something. There are such blobs where
// the database was lost, and from before names were kept.
func (f *Fetcher) nameBlobs(ctx context.Context) {
	for ctx.Err() == nil {
		changed := f.catalog.Changed()
		if err := f.nameUnnamed(ctx); err != nil {
			f.log.Warn("naming of blobs failed; those without a name cannot be searched for", "err", err)
		}
		f.settled(ctx, changed)
	}
}

func (f *Fetcher) nameUnnamed(ctx context.Context) error {
	for d, err := range f.store.Unnamed() {
		if err != nil || ctx.Err() != nil {
			return err
		}
		e, ok := f.catalog.Describe(d)
		if !ok {
			continue
		}
		err := f.store.Annotate(d, store.Meta{Name: e.Location.Name()})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be removed meanwhile
			return err
		}
	}
	return nil
}
