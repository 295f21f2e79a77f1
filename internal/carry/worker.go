package carry

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
	"millpond/internal/store"
)

// What is hashed together before it is synced, and hashed again after a crash.
const (
	batchFiles = 256
	batchBytes = 64 << 20
	batchTime  = 5 * time.Second
)

// unlistedParty is whose content files are in the store that no signed index lists: like
// all that nobody vouches for, they give way first. They leave it once an index lists them.
const unlistedParty = "import"

// maxLater bounds the files that are tried again at the end.
const maxLater = 4096

// worker imports files one after the other. It is for one goroutine.
type worker struct {
	*run
	tree    opener
	alone   bool // no other worker has files that are not committed
	in      *store.Intake
	pending []outcome
	bytes   int64
	since   time.Time
}

// outcome is what became of a file, once what was added with it is committed.
type outcome struct {
	item     item
	key      []byte
	taken    store.Taken
	unlisted bool
}

// newWorker returns a worker; end ends it.
func (r *run) newWorker(t *tree) *worker {
	return &worker{run: r, tree: opener{tree: t}, in: r.Store.NewIntake()}
}

// end keeps what was added.
func (w *worker) end() error {
	w.tree.leave()
	return w.commit()
}

// work imports what comes through the queue. When ctx ends, what was hashed is kept.
func (w *worker) work(ctx context.Context, queue <-chan item) error {
	for it := range queue {
		if err := w.take(ctx, it); err != nil {
			return errors.Join(err, w.end())
		}
	}
	return w.end()
}

// take imports a file. The error ends the import.
func (w *worker) take(ctx context.Context, it item) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	k := key(w.tree.name, it.rel, it.info)
	d, err := w.journal.find(k)
	if err != nil {
		return fmt.Errorf("reading which files were imported before: %w", err)
	}
	want := w.expected(ctx, it)
	if !d.IsZero() && w.known(it, d, want) {
		return nil
	}
	if limit := w.tooBig.Load(); limit > 0 && it.info.Size() >= limit {
		w.skip(it, NoRoom, "")
		return nil
	}
	return w.hash(ctx, it, k, want)
}

// known deals with a file whose digest the journal has, and reports whether it could.
func (w *worker) known(it item, d digest.Digest, want []digest.Digest) bool {
	if len(want) > 0 && !slices.Contains(want, d) {
		w.skip(it, Differs, "")
		return true
	}
	if _, err := w.Store.Stat(d); err != nil {
		return false
	}
	w.report.held(it.info.Size())
	w.Meter.Skip(1, it.info.Size())
	return true
}

func (w *worker) skip(it item, reason Reason, why string) {
	w.report.skip(reason, it.rel, why)
	w.Meter.Skip(1, it.info.Size())
}

// hash hashes a file and adds it to those that are to be kept.
func (w *worker) hash(ctx context.Context, it item, k []byte, want []digest.Digest) error {
	f, err := w.tree.open(it.rel)
	if err != nil {
		w.skip(it, Unreadable, reasonOf(err))
		return nil
	}
	defer f.Close()
	o := outcome{item: it, key: k}
	o.taken, err = w.in.Add(ctx, f, func(d digest.Digest) (store.Meta, error) {
		if len(want) > 0 && !slices.Contains(want, d) {
			return store.Meta{}, errDiffers
		}
		m := store.Meta{Name: nameOf(it.rel), Modified: it.info.ModTime()}
		if it.listed.IsZero() && !w.Catalog.InUse(d) {
			o.unlisted, m.Party = true, unlistedParty
		}
		return m, nil
	})
	switch {
	case err == nil:
		return w.add(o)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errDiffers):
		w.skip(it, Differs, "")
		return w.journal.write([]entry{{k, o.taken.Digest}})
	case errors.Is(err, store.ErrNoSpace):
		return w.noRoom(ctx, it, k, want)
	case errors.Is(err, store.ErrDisk):
		return err
	case errors.Is(err, store.ErrChanged):
		w.skip(it, Changing, "")
	default:
		w.skip(it, Unreadable, reasonOf(err))
	}
	return nil
}

// nameOf is the name that a blob gets; indices by hash have none.
func nameOf(rel string) string {
	if strings.Contains(rel, "by-hash/") {
		return ""
	}
	return decodeName(path.Base(rel))
}

// noRoom deals with a file that has no room. Files that are not committed yet take more of
// it than those that are: what is hashed beside others is tried again when they are done.
func (w *worker) noRoom(ctx context.Context, it item, k []byte, want []digest.Digest) error {
	if w.in.Len() > 0 {
		if err := w.commit(); err != nil {
			return err
		}
		return w.hash(ctx, it, k, want)
	}
	if !w.alone && w.putOff(it) {
		return nil
	}
	w.full(it.info.Size())
	w.skip(it, NoRoom, "")
	return nil
}

// putOff keeps a file for later, unless too many are.
func (r *run) putOff(it item) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.later) >= maxLater {
		return false
	}
	r.later = append(r.later, it)
	return true
}

// full notes that a file of that size has no room: others that are as large are not hashed
// in vain.
func (w *worker) full(size int64) {
	for {
		limit := w.tooBig.Load()
		if limit > 0 && limit <= size || w.tooBig.CompareAndSwap(limit, max(size, 1)) {
			return
		}
	}
}

// add notes what became of a file, and commits when that is due.
func (w *worker) add(o outcome) error {
	if len(w.pending) == 0 {
		w.since = time.Now()
	}
	w.pending = append(w.pending, o)
	w.bytes += o.item.info.Size()
	w.Meter.Add(1, o.item.info.Size())
	if len(w.pending) >= batchFiles || w.bytes >= batchBytes || time.Since(w.since) >= batchTime {
		return w.commit()
	}
	return nil
}

// commit keeps what was added.
func (w *worker) commit() error {
	pending := w.pending
	w.pending, w.bytes = nil, 0
	if len(pending) == 0 {
		return nil
	}
	err := w.in.Commit()
	if errors.Is(err, store.ErrNoSpace) {
		for _, o := range pending {
			w.full(o.item.info.Size())
			w.report.skip(NoRoom, o.item.rel, "")
		}
		return nil
	}
	if err != nil {
		return err
	}
	rows := make([]entry, 0, len(pending))
	for _, o := range pending {
		rows = append(rows, entry{o.key, o.taken.Digest})
		w.report.count(o)
	}
	if err := w.journal.write(rows); err != nil {
		return fmt.Errorf("noting which files are imported: %w", err)
	}
	return nil
}

func (r *Report) held(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Held++
	r.HeldBytes += bytes
}

// count counts a file that was hashed, and is held now.
func (r *Report) count(o outcome) {
	r.add(o.item.info.Size(), o.taken, o.unlisted)
}

func (r *Report) add(size int64, t store.Taken, unlisted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.Held {
		r.Held++
		r.HeldBytes += size
		return
	}
	r.Taken++
	r.TakenBytes += size
	if unlisted {
		r.Unlisted++
	}
	switch t.Way {
	case disk.Linked:
		r.Linked++
	case disk.Cloned:
		r.Cloned++
	case disk.Copied:
	}
}
