package prefetch

import (
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

const (
	// maxOld bounds the files that one file may replace.
	maxOld = 64
	// maxSpare bounds those that others may replace, of what was superseded before.
	maxSpare = 1024
)

// superseded returns the files that are held of older versions of w, or of its family
// if its name is new, for clients of the same line, and whose room w may take: those
// that are not pinned, need no login, and that no suite has in force.
func (s *Prefetcher) superseded(p *plan, w *want) (old []digest.Digest, err error) {
	looked := 0
	for h, err := range s.store.Names(w.prefix(), "") {
		if looked++; err != nil || len(old) == maxOld || looked > maxSame {
			return old, err
		}
		if !isOlder(h.Name, w) {
			continue
		}
		if ok, err := s.mayGo(p, w, h.Digest); err != nil {
			return nil, err
		} else if ok {
			old = append(old, h.Digest)
		}
	}
	return old, nil
}

func (s *Prefetcher) mayGo(p *plan, w *want, d digest.Digest) (bool, error) {
	if slices.ContainsFunc(w.files, func(e catalog.Entry) bool { return e.Digest == d }) {
		return false, nil // the same bytes under an older name
	}
	info, err := s.store.Stat(d)
	if err != nil || info.Pinned || len(info.Private) > 0 {
		return false, nil // or evicted since
	}
	if inForce, err := s.catalog.InForce(d); err != nil || inForce {
		return false, err
	}
	return s.belongs(p, w.key.Line, d)
}

// minPrefix is what names of one family begin with at least, before their first number:
// fewer letters would have the names of half of the store looked at.
const minPrefix = 4

// prefix is what the names of files begin with that w may replace.
func (w *want) prefix() string {
	if i := strings.IndexAny(w.key.Package, "0123456789"); w.fresh && i >= minPrefix {
		return w.key.Package[:i]
	}
	return w.key.Package + "_"
}

// family is the name of a package without its numbers: linux-image-6.1.0-50-amd64 follows
// linux-image-6.1.0-49-amd64.
func family(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, name)
}

// replaces reports whether versions of a package are those that w replaces.
func (w *want) replaces(name string) bool {
	return name == w.key.Package || w.fresh && family(name) == family(w.key.Package)
}

// isOlder reports whether a file is of an older version of w.
func isOlder(name string, w *want) bool {
	f, ok := deb.ParseFileName(name)
	if !ok || !w.replaces(f.Package) || f.Architecture != w.key.Architecture || f.Type != w.key.Type {
		return false
	}
	than := w.version
	if f.Architecture == deb.Source {
		var whole bool
		if f.Version, whole = deb.SourceVersion(name); !whole {
			than = upstreamOf(than)
		}
	}
	return f.Version != "" && deb.CompareVersions(f.Version, than) < 0
}

// free adds what a fetched file has superseded to what others may replace, as far as it
// is held still.
func (r *run) free(old []digest.Digest, held func(digest.Digest) bool) {
	r.spare = slices.DeleteFunc(r.spare, func(d digest.Digest) bool { return !held(d) })
	for _, d := range old {
		if len(r.spare) < maxSpare && held(d) && !slices.Contains(r.spare, d) {
			r.spare = append(r.spare, d)
		}
	}
}
