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
	"sync/atomic"
	"time"

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

// Meter counts what a command has done so far. The zero value is ready; one goroutine may
// read it while others count.
type Meter struct {
	files, bytes       atomic.Int64
	allFiles, allBytes atomic.Int64
	began              atomic.Int64 // Unix time in nanoseconds at which work on the files began
	skippedBytes       atomic.Int64 // of bytes: no work
}

// Progress is what a Meter says at a moment.
type Progress struct {
	Files, Bytes       int64
	AllFiles, AllBytes int64         // 0 while they are not counted yet
	Rate               float64       // bytes a second, of those that took work
	Left               time.Duration // 0 if nobody knows
}

func (m *Meter) expect(files, bytes int64) {
	m.allFiles.Add(files)
	m.allBytes.Add(bytes)
}

func (m *Meter) begin() { m.began.CompareAndSwap(0, time.Now().UnixNano()) }

func (m *Meter) done(bytes int64, work bool) {
	m.files.Add(1)
	m.bytes.Add(bytes)
	if !work {
		m.skippedBytes.Add(bytes)
	}
}

// Progress returns how far the work is at a time.
func (m *Meter) Progress(now time.Time) Progress {
	p := Progress{Files: m.files.Load(), Bytes: m.bytes.Load(), AllFiles: m.allFiles.Load(), AllBytes: m.allBytes.Load()}
	began := m.began.Load()
	took := now.Sub(time.Unix(0, began)).Seconds()
	if began == 0 || took <= 0 {
		return p
	}
	p.Rate = float64(p.Bytes-m.skippedBytes.Load()) / took
	if left := p.AllBytes - p.Bytes; left > 0 && p.Rate > 0 {
		p.Left = time.Duration(float64(left) / p.Rate * float64(time.Second)).Round(time.Second)
	}
	return p
}
