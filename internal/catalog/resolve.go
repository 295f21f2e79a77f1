package catalog

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"millpond/internal/digest"
)

// Kind is how a location is cached.
type Kind uint8

const (
	// Unknown is neither of the others: cached by name, revalidated, never
	// uploaded to peers.
	Unknown Kind = iota
	// ReleaseFile is InRelease, Release or Release.gpg of a suite: it changes, and
	// has no digest.
	ReleaseFile
	// Content has a known digest.
	Content
)

// Entry is what the catalog knows of a location.
type Entry struct {
	Location Location
	Kind     Kind
	Digest   digest.Digest // of Content
	Size     int64         // of Content, in bytes; -1 if not known (by-hash of an unknown Release, some pdiffs)
	Signed   bool          // Content listed under a Release signed by a key of the keyring, or of a trusted host
	Shared   Sharing       // Content: with which boxes
	Suite    Location      // of a Release file, and of files that a Release lists: the directory of that Release
	Index    bool          // an index that the catalog has not read yet and wants (LearnIndex); not one that it could not read
	Release  digest.Digest // of files that a Release lists: the generation it was resolved in; of a Release file: the client's pin

	// OneOf has the digests of an Unknown file that indices which count the same
	// list differently: the mirror has one of them.
	OneOf []digest.Digest
}

// OtherGeneration is the pin of a client whose generation of a suite the catalog does
// not have: for that client, the names that a Release lists are Unknown.
var OtherGeneration = digest.Of([]byte("another generation"))

// pinFunc gives the generation of a suite that the client was last
// served, zero if none.
type pinFunc func(suite Location) digest.Digest

// Resolve returns what l is. pin (may be nil) gives the generation of a suite
// that the client was last served, zero if none: files of that suite,
// and pool files, are looked up in that generation first. While an index of
// l's archive is being learned that a client has asked for (Await), an
// unresolved l waits for it, at most LearnWait and no longer than ctx.
func (c *Catalog) Resolve(ctx context.Context, l Location, pin func(suite Location) digest.Digest) Entry {
	if pin == nil {
		pin = func(Location) digest.Digest { return digest.Digest{} }
	}
	if l.Tail != "" {
		return Entry{Location: l, Size: -1}
	}
	c.noteAsked(l)
	var timeout <-chan time.Time
	for {
		if !c.learning.mayList(l) {
			return c.resolve(l, pin)
		}
		progress := c.progress.Wait()
		e := c.resolve(l, pin)
		if e.Kind != Unknown || len(e.OneOf) > 0 {
			return e
		}
		if timeout == nil {
			timer := time.NewTimer(c.learnWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-progress:
		case <-timeout:
			return e
		case <-ctx.Done():
			return e
		}
	}
}

// noteAsked notes that a client asks for l. Other boxes' requests, which come by digest,
// are no use of a suite.
func (c *Catalog) noteAsked(l Location) {
	s := c.state.Load()
	for dir := range l.parents {
		if st := s.suites[dir]; st != nil {
			st.ask(c.now().Unix())
		}
	}
}

func (c *Catalog) resolve(l Location, pin pinFunc) Entry {
	for {
		s := c.state.Load()
		e, err := c.lookUp(s, l, pin)
		if err != nil {
			// The box still serves the file, like any that no index lists.
			c.log.Error("catalog not readable", "url", l.String(), "err", err)
			return Entry{Location: l, Size: -1}
		}
		e.Index = e.Index && c.readable(e)
		// The rows of a superseded state may have been deleted.
		if e.Kind != Unknown || len(e.OneOf) > 0 || c.state.Load() == s {
			return e
		}
	}
}

func (c *Catalog) lookUp(s *state, l Location, pin pinFunc) (Entry, error) {
	d, ok, err := c.digestOf(s, l, pin)
	if err != nil {
		return Entry{}, err
	}
	if ok {
		return c.hashed(s, l, d, pin)
	}
	e, err := c.listed(s, l, pin)
	if err != nil || e.Kind != Unknown {
		return e, err
	}
	if isReleaseFile(l) {
		dir := l.Dir()
		return Entry{Location: l, Kind: ReleaseFile, Size: -1, Suite: dir, Release: pin(dir)}, nil
	}
	return c.pooled(s, l, pin)
}

// isReleaseFile goes by the name. The file Release that older tools keep in the
// directory of an architecture or of the sources describes one index; clients
// may ask for it before the Release that lists it.
func isReleaseFile(l Location) bool {
	switch l.Name() {
	case "InRelease", "Release.gpg":
		return true
	case "Release":
		dir := path.Base(path.Dir(l.Path))
		ofIndex := strings.Contains(l.Path, "/dists/") && (strings.HasPrefix(dir, "binary-") || dir == "source")
		return !ofIndex
	}
	return false
}

// order returns the generations of a suite in the order of look-ups for a client:
// the one that it was served, the current one, earlier ones.
func (st *suite) order(pin pinFunc) []*generation {
	pinned := st.find(pin(st.dir))
	if pinned == nil || pinned == st.current() {
		return st.gens
	}
	order := append(make([]*generation, 0, len(st.gens)), pinned)
	return append(order, slices.DeleteFunc(slices.Clone(st.gens), func(g *generation) bool { return g == pinned })...)
}

// listed looks for a file that a Release lists: in the generation that the
// client has or, failing that, the current one.
func (c *Catalog) listed(s *state, l Location, pin pinFunc) (Entry, error) {
	for dir, rel := range l.parents {
		st := s.suites[dir]
		if st == nil {
			continue
		}
		st.use(c.now().Unix())
		pinned := pin(dir)
		if pinned == OtherGeneration {
			continue
		}
		order := st.order(func(Location) digest.Digest { return pinned })
		if order[0] == st.current() {
			order = order[:1]
		}
		for _, g := range order[:min(len(order), 2)] {
			f, index, ok, err := c.inRelease(s, g, rel)
			if err != nil {
				return Entry{}, err
			}
			if ok {
				st.hit(c.now().Unix())
				e := Entry{
					Location: l, Kind: Content, Digest: f.digest, Size: f.size,
					Suite: st.dir, Index: index, Release: g.ID,
				}
				err = c.mark(s, &e, g.Signed, g.Sharing())
				return e, err
			}
		}
	}
	return Entry{}, nil
}

// inRelease looks for rel in the Release of g and, if it may be a patch, in
// the .diff/Index beside it. index reports whether it is an index not yet
// learned.
func (c *Catalog) inRelease(s *state, g *generation, rel string) (f row, index, ok bool, err error) {
	if f, ok, err = c.rows.get(s.tables[g.Table], rel, hashPath(rel)); err != nil || ok {
		k, stem := indexKind(rel)
		return f, k != noIndex && !g.has(stem), ok, err
	}
	dir, name := path.Split(rel)
	if !strings.HasSuffix(dir, ".diff/") {
		return row{}, false, false, nil
	}
	for _, l := range g.learned {
		if l.path == dir+"Index" {
			f, ok, err = c.rows.get(l.table, name, hashPath(name))
			return f, isPatchDir(dir) && s.byContent[content{f.digest, kindPatch}] == nil, ok, err
		}
	}
	return row{}, false, false, nil
}

// mark sets Signed and Shared of e, given what they are by one list with e's
// digest: any other list may make them more. A signed one knows the size better:
// all who want the digest share the download.
func (c *Catalog) mark(s *state, e *Entry, signed bool, shared Sharing) error {
	e.Signed, e.Shared = signed, shared
	if shared == WithAll {
		return nil
	}
	return c.rows.listed(e.Digest, 1, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil {
			if sh.signed && !e.Signed && l.size >= 0 {
				e.Size = l.size
			}
			e.Signed, e.Shared = e.Signed || sh.signed, max(e.Shared, sh.shared)
		}
		return e.Shared < WithAll
	})
}

// hashed resolves a file of by-hash, of which d is the digest. A Release may
// list more about it: its own, or a signed one of elsewhere.
func (c *Catalog) hashed(s *state, l Location, d digest.Digest, pin pinFunc) (Entry, error) {
	e := Entry{Location: l, Kind: Content, Digest: d, Size: -1}
	var found []listing
	err := c.rows.listed(d, 1, func(f listing) bool {
		if sh := s.shown[f.table]; sh != nil {
			found = append(found, f)
			e.Signed, e.Shared = e.Signed || sh.signed, max(e.Shared, sh.shared)
			if sh.signed {
				e.Size = max(e.Size, f.size)
			}
		}
		return true
	})
	if err != nil || len(found) == 0 {
		return e, err
	}
	for dir := range l.parents {
		st := s.suites[dir]
		if st == nil {
			continue
		}
		st.use(c.now().Unix())
		for _, g := range st.order(pin) {
			if f, ok := g.lister(s, found); ok {
				st.hit(c.now().Unix())
				e.Suite, e.Release, e.Size = st.dir, g.ID, f.size
				e.Index = c.wanted(s, g, f, d)
				return e, nil
			}
		}
	}
	return e, nil
}

// lister returns the first listing by a generation's Release or by an index
// learned of it.
func (g *generation) lister(s *state, found []listing) (listing, bool) {
	for _, f := range found {
		for _, p := range s.shown[f.table].places {
			if p.gen == g {
				return f, true
			}
		}
	}
	return listing{}, false
}

// wanted reports whether the file that f lists is an index not yet learned.
func (c *Catalog) wanted(s *state, g *generation, f listing, d digest.Digest) bool {
	k := s.shown[f.table].lists(f.path)
	if s.shown[f.table].kind == kindRelease {
		_, stem := indexKind(f.path)
		return k != noIndex && !g.has(stem)
	}
	return k != noIndex && s.byContent[content{d, k}] == nil
}
