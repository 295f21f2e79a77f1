package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/mirror"
	"millpond/internal/rings"
)

// Rings says which generation a client gets that is not to have the one in force;
// *rings.Rings.
type Rings interface {
	Has(ring string) bool
	// RingOf returns the ring that a client is bound to, "" if none.
	RingOf(client netip.Addr) string
	// Begin has the ring follow a suite, if it is one for rings and known.
	Begin(ring string, suite catalog.Location)
	// Generation returns what a ring has of a suite; zero for what is in force.
	Generation(ring string, suite catalog.Location) digest.Digest
	// At returns what an archive had of a suite at a time; InForceAt does the same for
	// one that is known, and returns zero for none.
	At(ctx context.Context, suite catalog.Location, t time.Time) (digest.Digest, error)
	InForceAt(suite catalog.Location, t time.Time) digest.Digest
	// Used is told of a file that was sent to a client of the ring, or with "" of one for
	// whom it is as it was at some time.
	Used(ring string, e catalog.Entry)
	// Dated returns where a dated archive has a file as it was at a time, and DatedIn as it
	// is in a ring; zero if none is known.
	Dated(l catalog.Location, t time.Time) catalog.Location
	DatedIn(ring string, l catalog.Location) catalog.Location
}

var _ Rings = (*rings.Rings)(nil)

// view is what a request is for instead of what is in force: what a ring has, or what
// there was at a moment. The zero value is what is in force.
type view struct {
	ring   string
	moment time.Time
}

// past reports whether it is a moment's.
func (v view) past() bool { return !v.moment.IsZero() }

// viewTarget reads what follows the segment ring or snapshot:
//
//	/ring/NAME/host/path
//	/ring/NAME/https/host/path
//	/snapshot/TIME/host/path
//	/snapshot/TIME/https/host/path
func viewTarget(first, rest string) target {
	name, path, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	t := originTarget(path)
	if name == "" || t.route != toArchive || t.view != (view{}) {
		return target{}
	}
	if first == "ring" {
		t.view.ring = name
	} else if t.view.moment, t.fault = rings.ParseTime(name); t.fault != nil {
		t.view.moment = time.Unix(0, 0) // not what is in force, whatever else
	}
	return t
}

// viewOf is the view of a request: that of its path, or that of the ring which the client
// is bound to. It is looked up once for each request, since rings may change meanwhile.
func (p *Proxy) viewOf(t target, client netip.Addr) view {
	if t.route == toArchive && t.view == (view{}) && p.rings != nil {
		return view{ring: p.rings.RingOf(client)}
	}
	return t.view
}

// viewError says why there is no file in a view.
type viewError struct {
	status        int
	cause, advice string
}

func (e *viewError) Error() string { return e.cause }

const (
	adviceRing = "The page and the API of the box list its rings; MILLPOND_RINGS or the API makes one."
	advicePast = "The box serves what it has kept: of each suite that its clients use the generations of about a month, as far as there is room. " +
		"The API lists them (/api/v1/generations)."
	adviceDated = "What the box has not kept of earlier packages it takes from the archive that dated=URL of an entry in MILLPOND_FOLLOW names. " +
		"That has a directory for each time below the URL, URL/20260131T235959Z/pool/…, as that of Debian's snapshots."
)

// generationIn returns the generation of a suite that the client gets in the view, zero
// for what is in force: of a ring the one that the client was given last, so that all
// files of one update belong together.
func (p *Proxy) generationIn(ctx context.Context, v view, client netip.Addr, suite catalog.Location) digest.Digest {
	if v.past() {
		return p.rings.InForceAt(suite, v.moment)
	}
	d := p.sessions.get(ctx, client, v.ring, suite)
	if d.IsZero() && v.ring != "" {
		d = p.rings.Generation(v.ring, suite)
	}
	return d
}

// checkView returns an error for a view that the box does not have.
func (p *Proxy) checkView(v view) error {
	if v == (view{}) || p.rings != nil && (v.ring == "" || p.rings.Has(v.ring)) {
		return nil
	}
	return &viewError{http.StatusNotFound, fmt.Sprintf("there is no ring %.40q", v.ring), adviceRing}
}

// see sets what of a request depends on the view. The error says why the view has no such
// file.
func (p *Proxy) see(ctx context.Context, v view, client netip.Addr, q *fetch.Request) (err error) {
	if v == (view{}) {
		return nil
	}
	q.Dated = p.dated(v, q.Location)
	if q.Kind != catalog.ReleaseFile {
		if v.past() && q.Kind == catalog.Unknown {
			return &viewError{http.StatusNotFound, "what this file was then is not known: no Release or index of that time that the box has read lists it", advicePast}
		}
		return nil
	}
	if v.past() {
		q.Generation, err = p.rings.At(ctx, q.Suite, v.moment)
		if errors.Is(err, rings.ErrNoMoment) || errors.Is(err, rings.ErrFuture) {
			return &viewError{http.StatusNotFound, err.Error(), advicePast}
		}
		return err
	}
	p.rings.Begin(v.ring, q.Suite)
	q.Generation = p.rings.Generation(v.ring, q.Suite)
	if given := p.sessions.get(ctx, client, v.ring, q.Suite); q.Location.Name() == "Release.gpg" && !q.Generation.IsZero() && !given.IsZero() {
		q.Generation = given // the signature is that of the Release that the client has
	}
	return nil
}

// refresh has the mirror asked for a suite of which the client gets what a ring has, so
// that there is something to give the ring next.
func (p *Proxy) refresh(v view, q fetch.Request) {
	if v.ring != "" && q.Kind == catalog.ReleaseFile && !q.Generation.IsZero() {
		q.Generation = digest.Digest{}
		p.fetcher.Anticipate(q)
	}
}

// given notes that a client was given a Release.
func (p *Proxy) given(ctx context.Context, v view, client netip.Addr, suite catalog.Location, generation digest.Digest) {
	if v.past() {
		return // its path says it all
	}
	p.sessions.set(ctx, client, v.ring, suite, generation)
	if v.ring != "" {
		p.rings.Begin(v.ring, suite)
	}
}

// used notes that a client was sent all of a file with a digest.
func (p *Proxy) used(v view, e catalog.Entry) {
	if v != (view{}) && e.Kind == catalog.Content {
		p.rings.Used(v.ring, e)
	}
}

// dated returns where a dated archive has the file at l as it is in the view; zero if none
// is known.
func (p *Proxy) dated(v view, l catalog.Location) catalog.Location {
	if v.past() {
		return p.rings.Dated(l, v.moment)
	}
	return p.rings.DatedIn(v.ring, l)
}

// inView words the error of a file that is not as it is in force.
func (p *Proxy) inView(v view, e catalog.Entry, err error) error {
	if v.past() && errors.Is(err, fetch.ErrMoved) || errors.Is(err, fetch.ErrNotHeld) {
		return &viewError{http.StatusGone, "the box does not hold this file of that generation, and no mirror has it any more", advicePast}
	}
	var status *mirror.StatusError
	if v == (view{}) || e.Kind != catalog.Content || !errors.As(err, &status) || status.Code != http.StatusNotFound && status.Code != http.StatusGone {
		return err
	}
	switch d := p.dated(v, e.Location); {
	case d == catalog.Location{} && v.past():
		return &viewError{http.StatusGone, "no mirror has this file any more, and MILLPOND_FOLLOW names no dated archive", adviceDated}
	case d == catalog.Location{}:
		return err
	case status.URL == d.String():
		return &viewError{http.StatusGone, fmt.Sprintf("no mirror has this file any more, nor does the dated archive: %s", d), adviceDated}
	default:
		return &viewError{http.StatusBadGateway, fmt.Sprintf("no mirror has this file any more, and nothing came from the dated archive: %s", d), adviceDated}
	}
}
