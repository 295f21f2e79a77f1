package fetch

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

const (
	// judgeEvery is how often the store is told what Releases list, without news:
	// earlier generations are forgotten meanwhile.
	judgeEvery = time.Hour
	// judgeApart is how long it has at least between two times. Each takes some 20 µs
	// for a blob.
	judgeApart = 10 * time.Minute
)

// judgeBlobs keeps the store's order of eviction in step with the catalog.
func (f *Fetcher) judgeBlobs(ctx context.Context) {
	for {
		changed := f.catalog.Changed()
		for _, wait := range []struct {
			news <-chan struct{}
			most time.Duration
		}{{nil, judgeApart}, {changed, judgeEvery - judgeApart}} {
			t := time.NewTimer(wait.most)
			select {
			case <-wait.news:
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
		if ctx.Err() != nil {
			return
		}
		if err := f.judge(ctx); err != nil {
			f.log.Warn("order of eviction not brought up to date", "err", err)
		}
	}
}

// judge tells the store of each blob whether a signed Release lists it, other than one
// that is kept for snapshots only. A catalog that knows nothing, as after the loss of the
// database, says nothing about that.
func (f *Fetcher) judge(ctx context.Context) error {
	if f.catalog.Stats().Rows == 0 {
		return nil
	}
	for i, err := range f.store.All() {
		if err != nil || ctx.Err() != nil {
			return err
		}
		listed := f.catalog.InUse(i.Digest)
		if listed == (i.Party == "" && !i.Unlisted) {
			continue // as it is kept
		}
		if err := f.store.Listed(i.Digest, listed); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
