package fetch

import (
	"context"
	"errors"
	"strings"
	"time"

	"millpond/internal/digest"
)

// sweepEvery is how often names of evicted files are forgotten.
const sweepEvery = time.Hour

// Run forgets the names and manifests of files whose bytes are gone, so that
// the table of names follows the store's size. It ends with ctx.
func (f *Fetcher) Run(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := f.sweep(); err != nil {
				f.Log.Warn("names of evicted files could not be forgotten", "err", err)
			}
		}
	}
}

// sweep looks at each record once.
func (f *Fetcher) sweep() error {
	return errors.Join(
		f.sweepKind("file/", func(key string) bool {
			v, err := recall[version](f, key)
			return err == nil && f.holds(v)
		}),
		f.sweepKind("pieces/", func(key string) bool {
			d, err := digest.Parse(strings.TrimPrefix(key, "pieces/"))
			return err == nil && f.holds(version{Digest: d})
		}))
}

// sweepKind deletes the records of a kind that are not to be kept.
func (f *Fetcher) sweepKind(prefix string, keep func(key string) bool) error {
	var gone []string
	err := f.Names.Scan([]byte(prefix), nil, func(key, _ []byte) bool {
		if !keep(string(key)) {
			gone = append(gone, string(key))
		}
		return len(gone) < 10_000 // the rest at the next turn
	})
	for _, key := range gone {
		if err := f.Names.Delete([]byte(key)); err != nil {
			return err
		}
	}
	return err
}
