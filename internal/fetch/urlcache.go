package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// unknownKey is the name of an unknown file in the table of names. What comes
// with a login may differ from what comes without one.
func unknownKey(l catalog.Location, login mirror.Login) string {
	if login != "" {
		return privatePrefix + l.String()
	}
	return "file/" + l.String()
}

const privatePrefix = "private file/"

// unchangedError ends the flight of an unknown file of which what is held is
// to be served.
type unchangedError struct {
	stale string // not empty: the mirror could not be asked, and why
}

func (e *unchangedError) Error() string { return "what is held is to be served" }

// unknown serves a file that no index lists, or several list differently: what
// is held of it when that was checked within the TTL or cannot be checked, else
// what the mirror has.
func (f *Fetcher) unknown(ctx context.Context, r Request) (*File, error) {
	e, l := r.Entry, r.Location
	// With a TTL of zero a check counts at least for those who waited for it.
	var unchanged *unchangedError
	for try := range 3 {
		v, err := kv.GetJSON[mirror.Copy](f.names, unknownKey(l, r.Login))
		if err != nil {
			return nil, err
		}
		if !expects(e, v.Digest) {
			v = mirror.Copy{}
		}
		if !v.Digest.IsZero() {
			f.recheck(ctx, r, v.Digest)
		}
		fresh := v.Fresh(f.ttl, r.Revalidate) && (r.Login == "" || f.access.Accepted(l, r.Login, v.Digest))
		if !v.Digest.IsZero() && (unchanged != nil || fresh) {
			if file, err := f.storedFor(r.Login, v.Digest); err == nil {
				file.Modified, file.Age = v.Modified(), v.Age()
				if unchanged != nil {
					file.Stale = unchanged.stale
				}
				return file, nil
			}
		}
		fl, began, err := f.join(r, func() *flight { return f.newUnknownFlight(r, v) })
		if err != nil {
			return nil, err
		}
		file, err := fl.openWithin(ctx, f.patience(r, v))
		if errors.Is(err, mirror.ErrSlow) {
			unchanged = &unchangedError{stale: err.Error()}
			continue
		}
		if !errors.As(err, &unchanged) && !again(err) && (try > 0 || began || !isLate(err)) {
			return file, err
		}
	}
	return nil, fmt.Errorf("%s: what is held of it was evicted while it was being checked", l)
}

// patience is how long a client waits for an answer about a file of which v is
// held; 0 is as long as it takes.
func (f *Fetcher) patience(r Request, v mirror.Copy) time.Duration {
	if v.Digest.IsZero() || !f.holds(v.Digest) || r.Login != "" && !f.access.AcceptedLately(r.Location, r.Login, v.Digest) {
		return 0
	}
	return mirror.Patience
}

// holdsUnknown reports whether there is a copy of an unknown file, current or not.
func (f *Fetcher) holdsUnknown(r Request) bool {
	v, err := kv.GetJSON[mirror.Copy](f.names, unknownKey(r.Location, r.Login))
	return err == nil && !v.Digest.IsZero() && f.holds(v.Digest)
}

// newUnknownFlight returns the flight that revalidates or fetches r's file, of
// which v is held.
func (f *Fetcher) newUnknownFlight(r Request, v mirror.Copy) *flight {
	fl := f.newFlight(keyOf(r), catalog.Entry{Location: r.Location, Size: -1, OneOf: r.OneOf})
	fl.cached, fl.client, fl.via = v, r.Party, r.Via
	return fl
}

// checkedSince reports whether the flight before this one ended after v was
// read: then what it found is to be served. One with another login says nothing
// of this one's.
func (fl *flight) checkedSince(v mirror.Copy) bool {
	l, login := fl.entry.Location, fl.key.login
	now, err := kv.GetJSON[mirror.Copy](fl.f.names, unknownKey(l, login))
	return err == nil && !now.Digest.IsZero() && expects(fl.entry, now.Digest) && !now.Checked.Equal(v.Checked) &&
		(login == "" || fl.f.access.Accepted(l, login, now.Digest))
}

// downloadUnknown asks the mirror for the file, conditionally if it is held.
func (fl *flight) downloadUnknown(ctx context.Context) error {
	f, l, login, v := fl.f, fl.entry.Location, fl.key.login, fl.cached
	if fl.checkedSince(v) {
		return &unchangedError{}
	}
	held := !v.Digest.IsZero() && f.holdsFor(Request{Entry: catalog.Entry{Location: l, Digest: v.Digest}, Login: login})
	if !held {
		v = mirror.Copy{}
	}
	q := v.Request(l.URL())
	q.Login = login
	f.asked.note(l, login)
	resp, err := f.access.Get(ctx, q)
	if err != nil && held && mirror.IsUnreachable(err) && (login == "" || f.access.AcceptedLately(l, login, v.Digest)) {
		f.stats.stale.Add(1)
		return &unchangedError{stale: fmt.Sprintf("mirror not asked: %v", err)}
	}
	if err != nil {
		return err
	}
	if resp.Status == http.StatusNotModified {
		resp.Body.Close()
		return fl.confirm(v)
	}
	return fl.keepAnswer(ctx, resp, len(f.mirror.Mirrors(q, -1, "")))
}

// confirm records that v is current, and ends the flight.
func (fl *flight) confirm(v mirror.Copy) error {
	f, l, login := fl.f, fl.entry.Location, fl.key.login
	v.Confirm()
	f.access.Accept(l, login, v.Digest)
	if err := kv.PutJSON(f.names, unknownKey(l, login), v); err != nil {
		return err
	}
	return &unchangedError{}
}

// keepAnswer keeps the file that resp sends. It is requested again if it changes
// during its download, maxFailures times in all, and if it is none of those that
// indices list, as often as the archive has mirrors.
func (fl *flight) keepAnswer(ctx context.Context, resp *mirror.Response, mirrors int) error {
	l := fl.entry.Location
	for tries := 1; ; tries++ {
		err := fl.keepUnknown(ctx, resp)
		switch {
		case errors.Is(err, errChanged) && tries >= maxFailures:
			return &mirror.AnswerError{URL: l.String(), Err: err}
		case errors.Is(err, errChanged), errors.Is(err, ErrWrongBytes) && tries < mirrors:
		default:
			return err
		}
		fl.restart()
		if resp, err = fl.f.access.Get(ctx, mirror.Request{URL: l.URL(), Login: fl.key.login, Reload: true}); err != nil {
			return err
		}
	}
}
