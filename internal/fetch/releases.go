package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/fetch/release"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// release serves InRelease, Release or Release.gpg. If what is held turns out to be gone
// or damaged, or the disk cannot read it, the mirror is asked.
func (f *Fetcher) release(ctx context.Context, q Request) (*File, error) {
	file, err := f.currentRelease(ctx, q)
	if errors.Is(err, fs.ErrNotExist) || store.Unkept(err) {
		file, err = f.currentRelease(ctx, q)
	}
	if err == nil && file.Stale != "" {
		f.stats.stale.Add(1)
	}
	return file, err
}

// releaseRequest is r for the package that knows Release files.
func releaseRequest(r Request) release.Request {
	return release.Request{Entry: r.Entry, Login: r.Login, Revalidate: r.Revalidate, Party: r.Party, Via: r.Via}
}

// currentRelease is release with what is held, or the mirror has just sent. The error
// wraps fs.ErrNotExist if it was thought to be held.
func (f *Fetcher) currentRelease(ctx context.Context, q Request) (*File, error) {
	e := q.Entry
	r, err := f.releases.Get(ctx, releaseRequest(q))
	if err != nil {
		return nil, f.otherForm(q, err)
	}
	r = f.whole(q, r)
	file := &File{Digest: r.Digest, Size: r.Size}
	if r.Data != nil {
		file.Body = memoryBody{bytes.NewReader(r.Data), f.attribute(r.Digest)}
	} else if file.Body, err = f.storedRelease(ctx, q, r.Digest); err != nil {
		return nil, fmt.Errorf("opening the held %s: %w", e.Location.Name(), err)
	}
	file.Modified, file.Age, file.Stale, file.Pending = r.Modified, r.Age, r.Stale, r.Pending
	file.Release, file.Suite = r.Release, e.Suite
	file.Public = r.Data == nil && q.Login == ""
	return file, nil
}

// storedRelease opens a held Release file, which is hashed each time: a damaged one would
// stop every client's update. One that came with a login is none for a client without:
// the signature of a generation that another client at its address was given.
func (f *Fetcher) storedRelease(ctx context.Context, q Request, d digest.Digest) (Body, error) {
	blob, err := f.store.OpenVerified(ctx, d)
	if err != nil {
		return nil, err
	}
	if q.Login == "" && access.Private(blob.Info()) {
		blob.Close()
		return nil, &mirror.StatusError{URL: q.Location.String(), Code: http.StatusNotFound}
	}
	return newCheckedBody(blob, f.attribute(d)), nil
}

// memoryBody is the Body of a Release file that was just fetched.
type memoryBody struct {
	*bytes.Reader
	origin ledger.Origin
}

func (memoryBody) Close() error            { return nil }
func (b memoryBody) Origin() ledger.Origin { return b.origin }

// fetchedRelease remembers for whom the mirror, or a peer, sent a Release file: the first
// client that gets it.
func (f *Fetcher) fetchedRelease(d digest.Digest, fromPeer bool) {
	origin := ledger.FromMirror
	if fromPeer {
		origin = ledger.FromPeer
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread.add(d, origin)
}

// Refresh makes the catalog know the mirror's present generation of the suite
// in dir, as a client's request for its Release does: within the TTL nothing is
// asked. The error says why the mirror did not answer, though the last good
// generation stays in force.
func (f *Fetcher) Refresh(ctx context.Context, dir catalog.Location) error {
	return f.releases.Refresh(ctx, dir)
}

// Revalidated notes that a client was told that the Release of the suite in dir
// which it has is the present one, so that it fetches no index of it. If the
// box has read none, it does so now, without the client.
func (f *Fetcher) Revalidated(dir catalog.Location) { f.ahead.Revalidated(dir) }

// KeysChanged has Run verify the held Releases of all suites with the keys that
// the catalog's keyring has now.
func (f *Fetcher) KeysChanged() { f.releases.KeysChanged() }

// Checked returns when the suite in dir was last confirmed with the mirror,
// zero if it never was, and why it could not be since, "" if it could.
func (f *Fetcher) Checked(dir catalog.Location) (at time.Time, stale string) {
	return f.releases.Checked(dir)
}

// CheckedBy returns the peer ID of the box of this site whose mirror said at Checked that
// the suite in dir has not changed; "" if this box's did.
func (f *Fetcher) CheckedBy(dir catalog.Location) string { return f.releases.CheckedBy(dir) }

// Rejected is a Release that a mirror sent and that does not replace the one in force.
type Rejected = release.Rejected

// Rejected returns the Release that the mirror has of the suite in dir and that does
// not replace the one in force, as of when it was last asked. ok is false if there is
// none.
func (f *Fetcher) Rejected(dir catalog.Location) (r Rejected, ok bool) {
	return f.releases.Rejected(dir)
}

// AcceptRelease lets the rejected Release d of the suite in dir replace the one in
// force, and asks the mirror for it. The error is ErrNotRejected, or says why it is not
// in force yet.
func (f *Fetcher) AcceptRelease(ctx context.Context, dir catalog.Location, d digest.Digest) error {
	return f.releases.Accept(ctx, dir, d)
}

// Bring puts in force the Release of the suite in dir that somebody brought on a medium,
// if it is signed by a key of the keyring and as good as the one in force, and has the
// catalog read those of its indices that are held. take is called for these to be taken
// from the medium.
func (f *Fetcher) Bring(ctx context.Context, dir catalog.Location, files catalog.ReleaseFiles, take func(release digest.Digest) error) (catalog.Generation, error) {
	g, err := f.releases.Bring(ctx, dir, files, take)
	if err != nil {
		return g, err
	}
	unread, err := f.catalog.AllUnread(dir)
	if err != nil {
		return g, err
	}
	f.relearnIndices(dir)
	for _, forms := range unread {
		for _, e := range forms {
			if err := f.learned(ctx, e.Digest); err != nil {
				return g, err
			}
		}
	}
	return g, nil
}
