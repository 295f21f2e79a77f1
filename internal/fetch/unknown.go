package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// errChanged says that the mirror has other bytes by now than those that came
// before a file without a digest was cut.
var errChanged = errors.New("the file changed at the mirror during its download")

// keepUnknown streams an answer into the store and remembers its name.
func (fl *flight) keepUnknown(ctx context.Context, resp *mirror.Response) error {
	f := fl.f
	if fl.crowded {
		resp.Body.Close()
		fl.passThrough(nil, errManyLogins)
		return nil
	}
	part, err := f.store.For(fl.party()).Create(resp.Size)
	if err != nil {
		resp.Body.Close()
	}
	if store.Unkept(err) {
		fl.passThrough(nil, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening a file: %w", err)
	}
	fl.begin(part)
	resp, err = fl.takeUnknown(ctx, part, resp)
	if store.Unkept(err) {
		fl.passThrough(part, err)
		return nil
	}
	if err != nil {
		part.Discard()
		return err
	}
	// One source wrote it from the beginning on: the running hash covers all.
	if h, _ := part.Hasher(); !fl.matches(h.Digest()) {
		f.stats.wrong.Add(1)
		fl.log.Error("mirror has none of the contents that indices list for this path", "mirror", resp.Mirror)
		part.Discard()
		f.mirror.Blame(fl.entry.Location.URL(), resp.Mirror, ErrWrongBytes)
		return fmt.Errorf("mirror %s: %w", fl.entry.Location.Host, ErrWrongBytes)
	}
	info, err := fl.commit(part)
	if err != nil {
		fl.passThrough(part, err)
		return nil
	}
	fl.landed(info)
	if isTransient(resp) {
		return nil
	}
	f.recorded.note()
	if err := kv.PutJSON(f.names, unknownKey(fl.entry.Location, fl.key.login), mirror.NewCopy(info.Digest, info.Size, resp)); err != nil {
		fl.log.Error("record of a file not written, the next request fetches it again", "err", err)
	}
	return nil
}

// isTransient reports whether an answer is a page made for this request, a captive
// portal's for instance: the next answer may be the file.
func isTransient(resp *mirror.Response) bool {
	return resp.HTML && resp.ETag == "" && resp.LastModified.IsZero()
}

// takeUnknown fills part from resp, and from later answers if that is cut. It
// returns the answer that sent the end.
func (fl *flight) takeUnknown(ctx context.Context, part *store.Partial, resp *mirror.Response) (*mirror.Response, error) {
	err := fl.append(part, resp)
	for tries := 0; err != nil && ctx.Err() == nil && !final(err) && tries < maxFailures; {
		if !errors.Is(err, mirror.ErrGaveWay) {
			tries++
		}
		fl.fails()
		fl.f.stats.resumed.Add(1)
		fl.log.Warn("download cut, resuming", "err", err)
		var next *mirror.Response
		if next, err = fl.resumeUnknown(ctx, part, resp); err == nil {
			resp = next
			err = fl.append(part, resp)
		}
	}
	return resp, err
}

// final reports whether to take an unknown file up again is useless.
func final(err error) bool {
	return errors.Is(err, errChanged) || store.Unkept(err) || definite(err)
}

// append writes the body of resp, which continues part, and closes it.
func (fl *flight) append(part *store.Partial, resp *mirror.Response) error {
	src := fl.f.mirrorAt(fl.entry.Location, resp.Mirror)
	s := &peer.Stream{ReadCloser: resp.Body, Size: resp.Size, Modified: resp.LastModified}
	defer s.Close()
	_, off := part.Hasher()
	_, err := fl.receive(part, s, store.Range{Off: off, End: part.Size()}, src)
	return err
}

// resumeUnknown requests the rest of a file that has no digest, of which last was
// the answer so far. A part is joined only under the same strong ETag (RFC 9110,
// section 15.3.7.3) of the same server: another one may have that for other bytes.
// Otherwise the whole is requested, and what is there compared with it.
func (fl *flight) resumeUnknown(ctx context.Context, part *store.Partial, last *mirror.Response) (*mirror.Response, error) {
	h, off := part.Hasher()
	q := mirror.Request{URL: fl.entry.Location.URL(), Login: fl.key.login, Revalidate: true}
	if off > 0 && isStrong(last.ETag) {
		guarded := q
		guarded.Offset, guarded.IfRange = off, last.ETag
		guarded.Mirror, guarded.Failover = last.Mirror, last.Mirror != ""
		resp, err := fl.f.access.Get(ctx, guarded)
		switch {
		case err == nil && resp.Offset == 0:
			return fl.compare(resp, part, h, off)
		case err == nil && resp.ETag == last.ETag && hostOf(resp.URL) == hostOf(last.URL):
			return resp, fl.sameSize(resp, part)
		case err == nil:
			resp.Body.Close()
		case !noRange(err) && !guarded.Failover:
			return nil, err
		}
	}
	resp, err := fl.f.access.Get(ctx, q)
	if err != nil {
		return nil, err
	}
	return fl.compare(resp, part, h, off)
}

// hostOf is the host, with its port, that an answer with that URL came from.
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}

// compare reads the first off bytes of the whole file that resp sends. Unless
// they are those in part, whose hash is h, the error is errChanged.
func (fl *flight) compare(resp *mirror.Response, part *store.Partial, h *digest.Hasher, off int64) (*mirror.Response, error) {
	err := fl.sameSize(resp, part)
	if err == nil {
		err = same(resp.Body, h, off)
	}
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// sameSize closes resp and returns errChanged if it is about a file of another
// size than part.
func (fl *flight) sameSize(resp *mirror.Response, part *store.Partial) error {
	if size := part.Size(); size >= 0 && resp.Size >= 0 && resp.Size != size {
		resp.Body.Close()
		return errChanged
	}
	return nil
}

// same reads off bytes of r and returns errChanged if their hash is not h's.
func same(r io.Reader, h *digest.Hasher, off int64) error {
	mine := digest.NewHasher()
	n, err := io.CopyN(mine, r, off)
	switch {
	case errors.Is(err, io.EOF) && n < off: // whole, and shorter
		return errChanged
	case err != nil:
		return err
	case mine.Digest() != h.Digest():
		return errChanged
	}
	return nil
}

// isStrong reports whether an ETag says that files with it have the same bytes.
func isStrong(etag string) bool { return etag != "" && !strings.HasPrefix(etag, "W/") }

// noRange reports whether a mirror has no answer for the place where a download
// goes on: 416, or a part that is another. It may have one for the whole file.
func noRange(err error) bool {
	var status *mirror.StatusError
	return errors.As(err, &status) && status.Code == 416 || errors.Is(err, mirror.ErrRange)
}
