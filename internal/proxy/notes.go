package proxy

import (
	"cmp"
	"errors"
	"net/http"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
)

// noteServed has Notes know what a client got: a Release, with the generation that the
// client has then, or the file of a package. How an archive was at some time is no update.
func (p *Proxy) noteServed(r *http.Request, w *response, e catalog.Entry, file *fetch.File, v view, has digest.Digest, whole bool) {
	if p.notes == nil || r.Method != http.MethodGet {
		return
	}
	client := front.ClientOf(r)
	if e.Kind == catalog.ReleaseFile {
		done := whole && w.status == http.StatusOK || w.status == http.StatusNotModified
		// Release.gpg alone is no update: it comes after the Release that it signs.
		if done && e.Location.Name() != "Release.gpg" && !v.past() {
			suite := cmp.Or(file.Suite, e.Suite)
			p.notes.Updated(client, suite.String(), v.ring, has)
		}
		return
	}
	if f, ok := deb.ParseFileName(e.Location.Name()); ok && w.written > 0 {
		p.notes.Got(client, f, w.written, whole)
	}
}

// noteFailure has Notes know what a client did not get. Who may not use the box is no
// client of it.
func (p *Proxy) noteFailure(r *http.Request, err error, status int, cause string) {
	var stranger *clientError
	var whose whoseError
	if p.notes == nil || errors.As(err, &stranger) || errors.As(err, &whose) {
		return
	}
	p.notes.Failed(front.ClientOf(r), status, cause, p.shown(r))
}
