package fetch

import (
	"context"
	"errors"
	"io"

	"millpond/internal/catalog"
)

// learnFlight lets the catalog read an index while it is being downloaded, as
// one more reader of the flight. Once a client asks for the index, Resolve
// waits for it (Catalog.Await), so that the packages that the client asks for
// next are known. f.mu is held.
func (f *Fetcher) learnFlight(fl *flight) {
	done := f.catalog.BeginLearning(fl.entry)
	fl.enter()
	f.running.Go(func() {
		defer done()
		b := fl.newBody(f.lifetime, false)
		defer b.Close()
		f.learn(fl.entry, b)
	})
}

// learnStored lets the catalog read a held index that it has not read yet, as
// after a crash between the two. One at a time reads the same index.
func (f *Fetcher) learnStored(e catalog.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.catalog.Learning(e.Digest) != nil || f.lifetime.Err() != nil {
		return
	}
	done := f.catalog.BeginLearning(e)
	f.running.Go(func() {
		defer done()
		file, err := f.stored(e.Digest)
		if err != nil {
			return // evicted meanwhile; the next client's download teaches
		}
		defer file.Body.Close()
		f.learn(e, file.Body)
	})
}

// learn hands an index to the catalog.
func (f *Fetcher) learn(e catalog.Entry, r io.Reader) {
	source := &watched{r: r}
	err := f.catalog.LearnIndex(f.lifetime, e, source)
	switch {
	case err == nil:
		f.stats.learned.Add(1)
	case source.err != nil || errors.Is(err, context.Canceled):
		// The download failed, which its clients are told.
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
