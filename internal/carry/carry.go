// Package carry moves files between a box and directories: it imports what other programs
// keep (debmirror, apt-mirror, apt itself, apt-cacher-ng, approx, the pool of an image),
// exports what the box holds as a tree that apt can use, and fills a medium for a box that
// has no network, from the list of what that box wants.
//
// It stands on store and catalog. It trusts no directory that it reads: a file is known by
// its SHA-256 alone, a Release counts if a key of the keyring signed it, and a file at a
// place for which a signed index names another digest is not taken. Symbolic links do not
// lead out of a directory that is imported. Nothing that is wrong with a file ends an
// import: it is skipped, and counted by its reason.
//
// What a directory can make grow is bounded: suites by maxSuites, the depth by maxDepth,
// the names in a report by maxExamples for each reason, the journal by maxJournal rows.
// Memory does not grow with the number of files.
//
// An import that was interrupted, in whatever way, goes on where it was: a journal in the
// database says which digest a file had, so that what is held is not hashed again.
package carry

import (
	"context"
	"iter"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// Store holds the blobs; a store.Store is one.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
	OpenVerified(ctx context.Context, d digest.Digest) (*store.Blob, error)
	NewIntake() *store.Intake
}

// Catalog knows what files are; a catalog.Catalog is one.
type Catalog interface {
	Resolve(ctx context.Context, l catalog.Location, pin func(catalog.Location) digest.Digest) catalog.Entry
	// Listed yields what a generation's Release lists.
	Listed(dir catalog.Location, release digest.Digest) iter.Seq2[catalog.Entry, error]
	InUse(d digest.Digest) bool
}

// Releases puts in force the Release of a suite that came on a medium; a fetch.Fetcher is
// one.
type Releases interface {
	Bring(ctx context.Context, dir catalog.Location, files catalog.ReleaseFiles, take func(release digest.Digest) error) (catalog.Generation, error)
}

const (
	maxSuites   = 4096 // with a Release in one import
	maxDepth    = 64   // of directories
	maxExamples = 5    // of files that were skipped for one reason
	maxJournal  = 1 << 19
)
