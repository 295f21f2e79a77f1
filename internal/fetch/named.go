package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// version is what is kept of a file without a digest of its own: the bytes
// last seen under its name, and how to ask whether they are still the same.
type version struct {
	Digest       digest.Digest
	Size         int64
	ETag         string
	LastModified time.Time // zero if the mirror told none
	Seen         time.Time // when these bytes were first seen
	Checked      time.Time // when the mirror last said that they are current
	Unchecked    string    // why it could not be asked since; of a head
	Missing      int       // the mirror's 404, 403 or 410 instead, when not 0
}

// modified is the Last-Modified under which clients get the version.
func (v version) modified() time.Time {
	if v.LastModified.IsZero() {
		return v.Seen
	}
	return v.LastModified
}

// request asks the mirror for what differs from v.
func (v version) request(l catalog.Location) mirror.Request {
	r := mirror.Request{URL: l.String()}
	if v.Digest.IsZero() {
		return r
	}
	r.IfNoneMatch = v.ETag
	if !v.LastModified.IsZero() {
		r.IfModifiedSince = v.LastModified.UTC().Format(httpTime)
	}
	return r
}

// httpTime is RFC 9110's date, section 5.6.7.
const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// recall reads what is kept under key in the table of names.
func recall[T any](f *Fetcher, key string) (T, error) {
	var v T
	b, err := f.Names.Get([]byte(key))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("record of %s: %w", key, err)
	}
	return v, nil
}

// remember keeps v under key.
func remember[T any](f *Fetcher, key string, v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.Names.Put([]byte(key), b)
}

// unknownKey is the name of an unknown file in the table of names.
func unknownKey(l catalog.Location) string { return "file/" + l.String() }

// unknown serves a file that no index lists: what is held of it when that was
// checked within the TTL or cannot be checked, else what the mirror has.
func (f *Fetcher) unknown(ctx context.Context, l catalog.Location) (*File, error) {
	stale, current := "", false
	for range 3 {
		v, err := recall[version](f, unknownKey(l))
		if err != nil {
			return nil, err
		}
		if !v.Digest.IsZero() && (current || stale != "" || time.Since(v.Checked) < f.TTL) {
			file, err := f.stored(v.Digest)
			if err == nil {
				file.Modified, file.Age, file.Stale = v.modified(), time.Since(v.Checked), stale
				return file, nil
			}
		}
		fl, err := f.join(flightKey{url: l.String()}, func() *flight { return f.newUnknownFlight(l, v) })
		if err != nil {
			return nil, err
		}
		file, err := fl.open(ctx)
		if !errors.Is(err, errAgain) {
			return file, err
		}
		// With a TTL of zero a check counts at least for those who waited
		// for it.
		stale, current = fl.stale, fl.current
	}
	return nil, fmt.Errorf("%s: what is held of it was evicted while it was being checked", l)
}

// newUnknownFlight returns the flight that revalidates or fetches l, of which
// v is held.
func (f *Fetcher) newUnknownFlight(l catalog.Location, v version) *flight {
	fl := f.newFlight(flightKey{url: l.String()}, catalog.Entry{Location: l, Size: -1})
	fl.download = func(ctx context.Context) error { return fl.downloadUnknown(ctx, v) }
	return fl
}

// downloadUnknown asks the mirror for the file, conditionally if v is held.
func (fl *flight) downloadUnknown(ctx context.Context, v version) error {
	f, l := fl.f, fl.entry.Location
	held := !v.Digest.IsZero()
	if held {
		_, err := f.Store.Stat(v.Digest)
		held = err == nil
	}
	if !held {
		v = version{}
	}
	resp, err := f.Mirror.Get(ctx, v.request(l))
	if err != nil && held && away(err) {
		fl.stale = fmt.Sprintf("mirror not asked: %v", err)
		f.stats.stale.Add(1)
		return errAgain
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Status == 304 {
		v.Checked = time.Now()
		if err := remember(f, unknownKey(l), v); err != nil {
			return err
		}
		fl.current = true
		return errAgain
	}
	return fl.keepUnknown(ctx, resp)
}

// keepUnknown streams an answer into the store and remembers its name.
func (fl *flight) keepUnknown(ctx context.Context, resp *mirror.Response) error {
	f, l := fl.f, fl.entry.Location
	part, err := f.Store.Create(resp.Size)
	if errors.Is(err, store.ErrNoSpace) {
		fl.divert(nil)
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening a file: %w", err)
	}
	fl.begin(part)
	p := upstreamFile{client: f.Mirror, Location: l, validator: resp.ETag}
	s := &Stream{ReadCloser: resp.Body, Size: resp.Size, Modified: resp.LastModified}
	_, err = fl.receive(part, s, store.Range{End: resp.Size}, p)
	for tries := 0; err != nil && ctx.Err() == nil && p.validator != "" && tries < maxFailures; tries++ {
		f.stats.resumed.Add(1)
		fl.log.Warn("a download was cut, resuming", "err", err)
		err = fl.resumeUnknown(ctx, part, p)
	}
	if errors.Is(err, store.ErrNoSpace) {
		fl.divert(part)
		return nil
	}
	if err != nil {
		part.Discard()
		return err
	}
	info, err := part.Commit(fl.about())
	if err != nil {
		return fmt.Errorf("keeping a downloaded file: %w", err)
	}
	fl.landed(info)
	now := time.Now()
	return remember(f, unknownKey(l), version{
		Digest: info.Digest, Size: info.Size, ETag: resp.ETag, LastModified: resp.LastModified, Seen: now, Checked: now,
	})
}

// resumeUnknown goes on with a file that has no digest; only the validator
// says that the rest belongs to what is there.
func (fl *flight) resumeUnknown(ctx context.Context, part *store.Partial, p upstreamFile) error {
	off := part.Available(0)
	s, err := p.Open(ctx, off, 0)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Off != off {
		return fmt.Errorf("%w: the file changed at the mirror", errNoRange)
	}
	_, err = fl.receive(part, s, store.Range{Off: off, End: part.Size()}, p)
	return err
}

// away reports whether err means that the mirror could not be asked, so that
// what is held may be served; the mirror's own 404 does not.
func away(err error) bool {
	var status *mirror.StatusError
	if errors.As(err, &status) {
		return status.Code >= 500 || status.Code == 429
	}
	var refused *mirror.RefusedError
	return !errors.As(err, &refused)
}
