package fetch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/fetch/release"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

var _ peer.Releases = (*Fetcher)(nil)

// Release implements peer.Releases. What is held is hashed first, as for clients.
func (f *Fetcher) Release(ctx context.Context, by peer.Asker, q peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
	told, err := f.releases.Offer(ctx, by, q, asking)
	o := peer.ReleaseOffer{Age: told.Age}
	if err != nil || told.Release.IsZero() {
		return o, err
	}
	o.Open = func(ctx context.Context) (release, signature peer.Upload, err error) {
		if release, err = f.releaseUpload(ctx, told, told.Release); err != nil || told.Signature.IsZero() {
			return release, nil, err
		}
		if signature, err = f.releaseUpload(ctx, told, told.Signature); err != nil {
			return nil, nil, errors.Join(err, release.Close())
		}
		return release, signature, nil
	}
	return o, nil
}

// releaseUpload opens a Release file for a peer.
func (f *Fetcher) releaseUpload(ctx context.Context, told release.Offered, d digest.Digest) (peer.Upload, error) {
	if b := told.Coming[d]; b != nil {
		return upload{memoryBody{bytes.NewReader(b), ledger.FromMirror}, int64(len(b))}, nil
	}
	blob, err := f.store.OpenVerified(ctx, d)
	if err != nil {
		return nil, err
	}
	if access.Private(blob.Info()) {
		err := fmt.Errorf("Release file %s: %w", d.Short(), fs.ErrNotExist)
		return nil, errors.Join(err, blob.Close())
	}
	return upload{newCheckedBody(blob, ledger.FromStore), blob.Info().Size}, nil
}

// asksInTurn is how often a box asks its mirror before it knows what that has of a suite:
// for the Release, and where it is new for what changed, by two names.
const asksInTurn = 3

// releasePatience is how long a box of this site may take that asks its mirror for the
// Release at l: no longer than the owner of a file for its first byte.
func (f *Fetcher) releasePatience(l catalog.Location) time.Duration {
	usual := assumedFirst
	if mirrors := f.mirrorsAt(l, "", -1, ""); len(mirrors) > 0 {
		usual = cmp.Or(f.paces.known(mirrors[0].Record()).first, usual)
	}
	return relayPatience(0, asksInTurn*usual).own + f.lateness()
}
