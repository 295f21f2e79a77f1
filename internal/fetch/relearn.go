package fetch

import (
	"context"

	"millpond/internal/catalog"
)

// relearn has the catalog learn the held Releases and indices if it knows none, as after
// the loss of the database. Clients that have their lists ask for packages only, which
// are held, and the mirror may be away.
func (f *Fetcher) relearn(ctx context.Context) {
	if len(f.catalog.Suites()) > 0 {
		return
	}
	suites, err := f.releases.Held()
	if err != nil {
		f.log.Warn("held Releases not learned again, until clients ask for them", "err", err)
		return
	}
	for _, suite := range suites {
		// Without an answer from the mirror, the held one is learned.
		if err := f.Refresh(ctx, suite); err != nil {
			f.log.Debug("suite that was known before not checked", "suite", suite.String(), "err", err)
		}
		if ctx.Err() != nil {
			return
		}
		f.relearnIndices(suite)
	}
	if len(suites) > 0 {
		f.log.Info("catalog was empty: held Releases and their indices are learned again", "suites", len(suites))
	}
}

// relearnIndices has the held indices of a suite read.
func (f *Fetcher) relearnIndices(suite catalog.Location) {
	unread, err := f.catalog.AllUnread(suite)
	if err != nil {
		f.log.Warn("held indices not read, until clients ask for them", "suite", suite.String(), "err", err)
	}
	for _, forms := range unread {
		for _, e := range forms {
			if f.holds(e.Digest) {
				f.learnStored(e)
				f.catalog.Await(e) // whoever asks for a package now waits for it
				break
			}
		}
	}
}
