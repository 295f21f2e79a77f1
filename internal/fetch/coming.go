package fetch

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// atOnce is how many indices of a generation are fetched at once, as apt would.
const atOnce = 4

// newestPatches is how many patches of a list are fetched. Debian, which has one for each
// earlier generation, publishes four times a day: they are for clients that update daily.
const newestPatches = 4

// fetchComing fetches and learns what the generation of that Release, which the catalog
// expects, has in place of what clients use of the suite in dir, and the newest patches of
// those files. Without patches apt gets the whole file, so that their faults are none.
func (f *Fetcher) fetchComing(ctx context.Context, dir catalog.Location, release digest.Digest) error {
	files, err := f.catalog.SuccessorsIn(dir, release, f.holds)
	if err != nil {
		return err
	}
	if err := f.keepAll(ctx, files); err != nil {
		return err
	}
	patches, err := f.catalog.Patches(dir, release, newestPatches)
	if err != nil {
		return err
	}
	return f.keepAll(ctx, patches)
}

// keepAll keeps files. The error is not about patches and lists of them.
func (f *Fetcher) keepAll(ctx context.Context, files []catalog.Entry) error {
	all, each := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for _, e := range files {
		all.Go(func() error {
			err := f.Keep(each, e)
			if err != nil && strings.Contains(e.Location.Path, ".diff/") {
				f.log.Debug("patches to an index not fetched", "url", e.Location.String(), "err", err)
				return nil
			}
			return err
		})
	}
	return all.Wait()
}
