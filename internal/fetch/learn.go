package fetch

import (
	"context"
	"errors"
	"io"

	"millpond/internal/catalog"
	"millpond/internal/fetch/turns"
)

// indicesInTurn bounds the indices that are read at once, each of which takes up to
// 110 MiB, most of it for the decompressor's dictionary, and those that wait. A client's
// update brings some ten from each archive.
var indicesInTurn = turns.Bounds{AtOnce: 2, OthersAtOnce: 1, First: 1024, Others: 256, OfParty: 32}

// willLearn notes that e, which the flight brings, is learned when it is held, if it
// is an index. Once a client asks for it, Resolve waits until then (Catalog.Await), so
// that the packages that the client asks for next are known.
//
// It is not read while it comes: a decompressor takes up to 64 MiB, and a mirror
// that drips would have it for as long as it likes.
func (fl *flight) willLearn(e catalog.Entry) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if e.Index && fl.learned == nil {
		fl.index, fl.learned = e, fl.f.catalog.BeginLearning(e)
	}
}

// learnLanded has the index learned that the flight has brought, if it did.
func (fl *flight) learnLanded(err error) {
	fl.mu.Lock()
	index, learned := fl.index, fl.learned
	fl.mu.Unlock()
	switch {
	case learned == nil:
	case err == nil || errors.Is(err, errHeld):
		fl.f.enqueue(index, learned)
	default:
		learned()
	}
}

// learnStored lets the catalog read a held index that it has not read yet, as
// after a crash between the two. Only one reads the same index.
func (f *Fetcher) learnStored(e catalog.Entry) {
	if done := f.beginStored(e); done != nil {
		f.enqueue(e, done)
	}
}

// beginStored notes that e is about to be learned; it returns nil if it is being
// learned.
func (f *Fetcher) beginStored(e catalog.Entry) (done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.catalog.Learning(e.Digest) != nil || f.lifetime.Err() != nil {
		return nil
	}
	return f.catalog.BeginLearning(e)
}

// enqueue has the held index e learned when it is its turn, and done called then.
// If too many wait, it is learned when a client asks for it again.
func (f *Fetcher) enqueue(e catalog.Entry, done func()) {
	e = f.catalog.Vouch(e)
	queued := f.learning.Add(turns.Job{Party: e.Location.Host, First: e.Signed, Do: func() { f.learn(e) }, Done: done})
	if !queued {
		f.log.Debug("index not read now, as many others wait", "url", e.Location.String())
	}
}

// learn hands a held index to the catalog.
func (f *Fetcher) learn(e catalog.Entry) {
	if f.lifetime.Err() != nil {
		return
	}
	file, err := f.stored(e.Digest)
	if err != nil {
		return // it was not kept, or was evicted meanwhile; the next client's download teaches
	}
	defer file.Body.Close()
	source := &watched{r: file.Body}
	err = f.catalog.LearnIndex(f.lifetime, e, source)
	switch {
	case err == nil:
		f.stats.learned.Add(1)
	case source.err != nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed):
		// The next client's request has it read again.
	default:
		f.stats.learnFaults.Add(1)
		f.log.Warn("index unreadable; its packages are cached by name and not shared",
			"url", e.Location.String(), "err", err)
	}
}

// watched remembers that reading failed.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
