package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"

	"golang.org/x/sync/errgroup"

	"millpond/internal/deb822"
)

// maxPlaces bounds how many listings of one digest by one file are read. The same
// index is listed in a Release once, an empty one some dozens of times.
const maxPlaces = 256

var (
	errNoIndex    = errors.New("not an index that the catalog reads")
	errUnreadable = errors.New("it could not be read before")
	errNoRoom     = errors.New("its archive lists more files than there is room for")
)

// LearnIndex reads the index e, still compressed, from r and commits its rows when
// r has ended without an error and its digest is e.Digest. r is not read after
// LearnIndex has returned. An error of r, a wrong digest, a syntax error, or an
// index over its limits leave nothing behind; an index that cannot be read is
// not wanted again for an hour. e must be as Resolve gave it, with Index set, and
// BeginLearning and Await called for it if callers of Resolve are to wait.
func (c *Catalog) LearnIndex(ctx context.Context, e Entry, r io.Reader) error {
	if err := c.learnIndex(ctx, e, r); err != nil {
		return fmt.Errorf("learning the index %s: %w", e.Location, err)
	}
	return nil
}

func (c *Catalog) learnIndex(ctx context.Context, e Entry, r io.Reader) error {
	k, err := c.kindOf(e)
	if err != nil {
		return err
	}
	e = c.Vouch(e)
	this := attempt{content{e.Digest, k}, c.limitsOf(e)}
	if c.state.Load().byContent[this.content] != nil {
		return nil
	}
	if c.unreadable.has(this, c.now()) {
		return errUnreadable
	}
	w, err := c.rows.writer()
	if err != nil {
		return err
	}
	defer w.cancel()
	w.max = this.rows
	limited, stop := withTime(ctx, this.limits)
	defer stop()
	in := newInput(limited, r, this.text)
	if err := fill(limited, w, k, e, in); err != nil {
		c.discard(w.id)
		if w.err == nil && in.blames(ctx, e.Digest) {
			c.unreadable.add(this, c.now())
		}
		return err
	}
	t, err := w.finish(k, e.Digest)
	if err != nil {
		c.discard(w.id)
		return err
	}
	err = c.publish(t)
	if errors.Is(err, errNoRoom) {
		c.unreadable.add(this, c.now())
	}
	return err
}

// publish shows a table whose rows are written in every generation that lists
// it. Without one, it is discarded. The error is errNoRoom if those that list it have
// used up their room.
func (c *Catalog) publish(t *table) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.state.Load()
	next := old.clone()
	listed, err := c.link(next, next.byRelease(), t)
	if err != nil || old.byContent[content{t.digest, t.kind}] != nil {
		c.discard(t.id)
		return err
	}
	next.tables[t.id] = t
	if err := c.commit(next); err != nil {
		c.discard(t.id)
		return err
	}
	if listed && next.tables[t.id] == nil {
		return errNoRoom
	}
	return nil
}

// link adds t to the generations of s that list it, and reports whether any does.
func (c *Catalog) link(s *state, releases map[tableID][]place, t *table) (listed bool, err error) {
	places, err := c.places(s, releases, t)
	for _, p := range places {
		p.gen.add(p.path, t)
	}
	return len(places) > 0, err
}

// places returns where s lists the file that t was learned from.
func (c *Catalog) places(s *state, releases map[tableID][]place, t *table) ([]place, error) {
	if t.kind == kindRelease {
		return nil, nil
	}
	var listings []listing
	err := c.rows.listed(t.digest, maxPlaces, func(l listing) bool {
		if s.tables[l.table] != nil {
			listings = append(listings, l)
		}
		return true
	})
	var found []place
	for _, l := range listings {
		parent := s.tables[l.table]
		switch {
		case parent.kind == kindRelease:
			if k, _ := indexKind(l.path); k == t.kind {
				for _, p := range releases[parent.id] {
					found = append(found, place{p.suite, p.gen, l.path})
				}
			}
		case parent.kind == kindDiffIndex && t.kind == kindPatch:
			above, err := c.places(s, releases, parent)
			if err != nil {
				return nil, err
			}
			for _, p := range above {
				if dir := path.Dir(p.path); isPatchDir(dir) {
					found = append(found, place{p.suite, p.gen, path.Join(dir, l.path)})
				}
			}
		}
	}
	return found, err
}

// kindOf returns how to read e: by its name or, for a file in by-hash, by the
// name that a Release or a .diff/Index gives its digest.
func (c *Catalog) kindOf(e Entry) (kind, error) {
	if k, _ := indexKind(e.Location.Path); k != noIndex {
		return k, nil
	}
	if isPatchDir(e.Location.Dir().Path) {
		return kindPatch, nil
	}
	s := c.state.Load()
	found := noIndex
	err := c.rows.listed(e.Digest, maxPlaces, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil {
			found = sh.lists(l.path)
		}
		return found == noIndex
	})
	if err == nil && found == noIndex {
		err = errNoIndex
	}
	return found, err
}

// lists returns the kind of the index that the table lists under p.
func (sh *shown) lists(p string) kind {
	switch sh.kind {
	case kindRelease:
		k, _ := indexKind(p)
		return k
	case kindDiffIndex:
		for _, place := range sh.places {
			if isPatchDir(path.Dir(place.path)) {
				return kindPatch
			}
		}
	}
	return noIndex
}

// rowChunk is how many rows go from the parser to the writer at once.
const rowChunk = 256

// fill writes what the index in r lists. One goroutine reads and unpacks, one
// parses, and one writes.
func fill(ctx context.Context, w *writer, k kind, e Entry, in *input) error {
	g, ctx := errgroup.WithContext(ctx)
	text := newPipe(ctx)
	chunks := make(chan []row, 8)
	g.Go(func() error { return unpack(text, e, in) })
	g.Go(func() error {
		defer close(chunks)
		return parse(ctx, k, text, chunks)
	})
	g.Go(func() error {
		// The channel is closed by a parser that failed, too.
		for chunk := range chunks {
			for _, f := range chunk {
				if err := w.put(f); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return g.Wait()
}

// unpack puts the text of the index into p, and ends it if in was e.Digest.
func unpack(p *pipe, e Entry, in *input) error {
	text, done, err := decompress(in, in.left)
	if err != nil {
		return err
	}
	defer done()
	if err := p.fill(text); err != nil {
		return err
	}
	// A decompressor may stop before the end of its input.
	if err := in.drain(e.Digest); err != nil {
		return err
	}
	p.close()
	return nil
}

// parse sends what the text lists.
func parse(ctx context.Context, k kind, text io.Reader, chunks chan<- []row) error {
	send := func(chunk []row) error {
		select {
		case chunks <- chunk:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	chunk := make([]row, 0, rowChunk)
	for f, err := range files(k, text) {
		if err != nil {
			return err
		}
		chunk = append(chunk, row{f.Path, f.Digest, f.Size})
		if len(chunk) == rowChunk {
			if err := send(chunk); err != nil {
				return err
			}
			chunk = make([]row, 0, rowChunk)
		}
	}
	// The parser may stop before the end of the text, but the digest covers the
	// rest too.
	if _, err := io.Copy(io.Discard, text); err != nil {
		return err
	}
	return send(chunk)
}

func files(k kind, text io.Reader) iter.Seq2[deb822.File, error] {
	switch k {
	case kindSources:
		return deb822.Sources(text)
	case kindDiffIndex:
		return deb822.DiffIndex(text)
	case kindPatch:
		return deb822.Patch(text)
	default:
		return deb822.Packages(text)
	}
}
