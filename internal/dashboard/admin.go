package dashboard

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"millpond/internal/api"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// banFor is how long a peer that an administrator banned stays banned.
const banFor = 24 * time.Hour

// verifyWithin bounds the hashing of one blob for a request: 4 GB at the
// 300 MB/s of a slow disk, and some.
const verifyWithin = 25 * time.Second

// authorize lets requests with the token in their Authorization header pass,
// which no foreign page can make a browser send: a password that the browser has
// been given does not count. What they did is audited.
func (d *Dashboard) authorize(s *service, ctx huma.Context, next func(huma.Context)) {
	if d.adminToken == "" {
		s.refuse(ctx, http.StatusForbidden, "Admin actions are off; MILLPOND_ADMIN_TOKEN would allow them.")
		return
	}
	r, w := humachi.Unwrap(ctx)
	token, given := bearerOf(r)
	if !given || !equal(token, d.adminToken) {
		if given && !d.wrongToken(w, r, token) {
			ctx.SetHeader("Retry-After", retryAfter)
			s.refuse(ctx, http.StatusTooManyRequests, tooMany)
			return
		}
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="millpond"`)
		s.refuse(ctx, http.StatusUnauthorized, "This needs the box's admin token (MILLPOND_ADMIN_TOKEN).")
		return
	}
	if r.Method == http.MethodGet { // it changes nothing, and a command that waits asks twice a second
		next(ctx)
		return
	}
	d.audit(ctx, r, next)
}

func (d *Dashboard) pin(_ context.Context, b digest.Digest) error {
	info, err := d.store.Stat(b)
	if err != nil {
		return err
	}
	return d.pinOne(d.blob(info))
}

func (d *Dashboard) unpin(_ context.Context, b digest.Digest) error {
	return d.store.Unpin(b, store.ByAdmin)
}

func (d *Dashboard) remove(_ context.Context, b digest.Digest) error { return d.store.Remove(b) }

func (d *Dashboard) verify(ctx context.Context, b digest.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, verifyWithin)
	defer cancel()
	return d.store.Verify(ctx, b)
}

// blobProblem words the errors of the store about one blob.
func blobProblem(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return problem(http.StatusNotFound, "The box does not hold this file.")
	case errors.Is(err, store.ErrMismatch):
		return problem(http.StatusConflict, "The file was damaged and has been removed; it will be fetched again when it is asked for.")
	}
	return err
}

// eraseRequest names a client.
type eraseRequest struct{ Body api.ClientAddress }

// eraseClient removes what the box keeps about a client. Its figures stay in the
// sums.
func (d *Dashboard) eraseClient(_ context.Context, in *eraseRequest) (api.Erased, error) {
	client, err := netip.ParseAddr(in.Body.Address)
	if err != nil {
		return api.Erased{}, wrong("address is that of one client, such as 10.1.2.3 or fd00::1")
	}
	client = client.Unmap().WithZone("")
	// Events first: d.erase removes from the database's files what is erased by then.
	named, err := d.events.Erase(client)
	known, fault := d.erase(client)
	if err := errors.Join(err, fault); err != nil {
		return api.Erased{}, err
	}
	d.names.Forget(client.String())
	d.wrongTokens.forget(client)
	return api.Erased{Known: named || known}, nil
}

// onPeer names a peer.
type onPeer struct {
	ID string `path:"id" doc:"its peer ID"`
}

func (d *Dashboard) ban(_ context.Context, in *onPeer) error {
	if d.swarm == nil {
		return problem(http.StatusNotFound, "This box is in no swarm.")
	}
	if err := d.swarm.Ban(in.ID, banFor); err != nil {
		return wrong("%v", err)
	}
	return nil
}

// rateRequest changes the upload rate.
type rateRequest struct{ Body api.UploadRate }

// setUploadRate lasts until the box restarts.
func (d *Dashboard) setUploadRate(_ context.Context, in *rateRequest) error {
	if d.swarm == nil {
		return problem(http.StatusNotFound, "This box is in no swarm.")
	}
	d.swarm.SetUploadRate(in.Body.BytesPerSecond)
	return nil
}

func (d *Dashboard) getDrain(context.Context, *none) (api.Drain, error) { return d.draining(), nil }

// startDrain may be asked for again, and lasts until the box restarts.
func (d *Dashboard) startDrain(context.Context, *none) (api.Drain, error) {
	d.drain()
	return d.draining(), nil
}
