package fetch

import (
	"net/http"

	"millpond/internal/fetch/release"
	"millpond/internal/mirror"
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
	d, ok := f.catalog.ReleaseFile(q.Suite, id, q.Location.Name())
	info, err := f.store.Stat(d)
	if !ok || err != nil || len(info.Private) > 0 {
		return r
	}
	r.Digest, r.Size, r.Modified, r.Release, r.Data = d, info.Size, info.Modified, id, nil
	return r
}

// otherForm returns what a client is told in place of err while the mirror does not
// answer: that there is no InRelease, if the generation which the box holds complete came
// as Release and Release.gpg. apt asks for these then.
func (f *Fetcher) otherForm(q Request, err error) error {
	if f.complete == nil || q.Login != "" || q.Location.Name() != "InRelease" || !mirror.IsUnreachable(err) {
		return err
	}
	id := f.complete(q.Suite)
	g, ok := f.catalog.Generation(q.Suite, id)
	if !ok || id.IsZero() || g.Signature.IsZero() {
		return err
	}
	return &mirror.StatusError{URL: q.Location.String(), Code: http.StatusNotFound}
}
