package fetch

import (
	"context"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// atOnce is how many indices of a generation are fetched at once, as apt would.
const atOnce = 4

// fetchComing fetches and learns what the generation of that Release, which the catalog
// expects, has in place of what clients use of the suite in dir.
func (f *Fetcher) fetchComing(ctx context.Context, dir catalog.Location, release digest.Digest) error {
	files, err := f.catalog.SuccessorsIn(dir, release, f.holds)
	if err != nil {
		return err
	}
	all, each := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for _, e := range files {
		all.Go(func() error { return f.Keep(each, e) })
	}
	return all.Wait()
}
