package dashboard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// banFor is how long a box that an administrator banned stays away.
const banFor = 24 * time.Hour

// verifyWithin bounds the hashing of one blob for a request: 4 GB at the
// 300 MB/s of a slow disk, and some.
const verifyWithin = 25 * time.Second

func (d *Dashboard) verify(ctx context.Context, b digest.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, verifyWithin)
	defer cancel()
	return d.Store.Verify(ctx, b)
}

func (d *Dashboard) remove(_ context.Context, b digest.Digest) error { return d.Store.Remove(b) }

// authorize lets requests with the token in their Authorization header pass,
// which no foreign page can make a browser send: there is no cookie to ride
// on. The hashes make the comparison
// independent of the token's length.
func (d *Dashboard) authorize(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(d.AdminToken))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.AdminToken == "" {
			http.Error(w, "Admin actions are off; MILLPOND_ADMIN_TOKEN would allow them.", http.StatusForbidden)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="millpond"`)
			http.Error(w, "This needs the box's admin token (MILLPOND_ADMIN_TOKEN).", http.StatusUnauthorized)
			return
		}
		d.Log.Info("an administrator acts", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
		next.ServeHTTP(w, r)
	})
}

func (d *Dashboard) pin(on bool) http.HandlerFunc {
	return d.onBlob(func(_ context.Context, b digest.Digest) error {
		if on {
			return d.Store.Pin(b, store.ByAdmin)
		}
		return d.Store.Unpin(b, store.ByAdmin)
	})
}

// onBlob does something to the blob that the path names.
func (d *Dashboard) onBlob(act func(context.Context, digest.Digest) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := digest.Parse(chi.URLParam(r, "digest"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err := act(r.Context(), b); {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, fs.ErrNotExist):
			http.Error(w, "The box does not hold this file.", http.StatusNotFound)
		case errors.Is(err, store.ErrMismatch):
			http.Error(w, "The file was damaged and has been removed; it will be fetched again when it is asked for.", http.StatusConflict)
		default:
			d.fail(w, err)
		}
	}
}

func (d *Dashboard) ban(w http.ResponseWriter, r *http.Request) {
	if d.Swarm == nil {
		http.Error(w, "This box is in no swarm.", http.StatusNotFound)
		return
	}
	if err := d.Swarm.Ban(chi.URLParam(r, "id"), banFor); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// uploadRate takes {"bytes_per_second": n}; 0 is no limit. It lasts until the
// box is started again.
func (d *Dashboard) uploadRate(w http.ResponseWriter, r *http.Request) {
	if d.Swarm == nil {
		http.Error(w, "This box is in no swarm.", http.StatusNotFound)
		return
	}
	var body UploadRate
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&body)
	if err != nil || body.BytesPerSecond == nil || *body.BytesPerSecond < 0 {
		http.Error(w, `The body is {"bytes_per_second": n} with n of 0, no limit, or more.`, http.StatusBadRequest)
		return
	}
	d.Swarm.SetUploadRate(*body.BytesPerSecond)
	w.WriteHeader(http.StatusNoContent)
}
