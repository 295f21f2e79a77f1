package fetch

import (
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch/release"
)

// whole returns what a client gets in place of the Release file r while the mirror does
// not answer: that of the generation which the box holds complete, if it has one. Of a
// newer one it may lack files that nobody can send now. A client that has the newer one
// keeps it, as apt does not go back.
func (f *Fetcher) whole(q Request, r release.File) release.File {
	if f.complete == nil || q.Login != "" || r.Stale == "" || r.Pending {
		return r
	}
	id := f.complete(q.Suite)
	if id.IsZero() || id == r.Release {
		return r
	}
	g, ok := f.catalog.Generation(q.Suite, id)
	if !ok {
		return r
	}
	d := releaseFile(g, q.Location)
	info, err := f.store.Stat(d)
	if err != nil || len(info.Private) > 0 {
		return r
	}
	r.Digest, r.Size, r.Modified, r.Release, r.Data = d, info.Size, info.Modified, id, nil
	return r
}

// releaseFile is the digest of a generation's Release file with the name of l, zero if it
// came in the other form.
func releaseFile(g catalog.Generation, l catalog.Location) (d digest.Digest) {
	pair := !g.Signature.IsZero()
	switch name := l.Name(); {
	case name == "Release.gpg":
		return g.Signature
	case pair == (name == "Release"):
		return g.ID
	}
	return d
}
