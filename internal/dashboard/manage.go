package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/store"
)

// maxManageBody bounds the body of a purge, or of a pin: a URL and some.
const maxManageBody = 4 << 10

// Files may be pinned by hand up to 7/8 of the cache, what is kept by setting counted in:
// clients need room for what they use beside it.
const (
	pinnedParts = 7
	pinnedOf    = 8
)

// purgeRequest names what is to be purged.
type purgeRequest struct{ Body api.PurgeRequest }

// purge removes what is held of a host, or of a part of it, alone.
func (d *Dashboard) purge(ctx context.Context, in *purgeRequest) (api.Purged, error) {
	scope, err := ParseScope(in.Body.What)
	if err != nil {
		return api.Purged{}, err
	}
	var from digest.Digest
	if in.Body.After != "" {
		if from, err = digest.Parse(in.Body.After); err != nil {
			return api.Purged{}, wrong("after is the next of an answer before")
		}
	}
	p, err := d.fetch.Purge(ctx, scope, from)
	a := api.Purged{Host: scope.Host, Path: scope.Path, Files: p.Files, Bytes: p.Bytes, InUse: p.InUse, Pinned: p.Pinned, Shared: p.Shared}
	if p.More {
		a.Next = p.Next.String()
	}
	if err == nil {
		d.log.Info("files purged", "of", scope.Host+scope.Path, "files", p.Files, "bytes", p.Bytes)
	}
	return a, err
}

// ParseScope reads a host, or a URL with or without its scheme.
func ParseScope(what string) (fetch.Scope, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(what), "://")
	if !ok {
		scheme, rest = "http", scheme
	}
	host, path, _ := strings.Cut(rest, "/")
	l, err := catalog.ParseLocation(strings.ToLower(scheme), host, "/"+path)
	if err != nil {
		return fetch.Scope{}, wrong("%q is neither a host such as archive.example.org nor a path of one such as archive.example.org/debian/pool: %v", what, err)
	}
	return fetch.Scope{Host: l.Host, Path: strings.TrimRight(l.Path, "/")}, nil
}

// pinRequest names what is to be pinned or unpinned.
type pinRequest struct{ Body api.PinRequest }

func (d *Dashboard) pinFiles(_ context.Context, in *pinRequest) (api.PinResult, error) {
	return d.change(in.Body.What, d.pinOne)
}

func (d *Dashboard) unpinFiles(_ context.Context, in *pinRequest) (api.PinResult, error) {
	return d.change(in.Body.What, func(b api.Blob) error {
		id, err := digest.Parse(b.Digest)
		if err != nil {
			return err
		}
		return d.store.Unpin(id, store.ByAdmin)
	})
}

// change pins or unpins the held files that what means.
func (d *Dashboard) change(what string, change func(api.Blob) error) (api.PinResult, error) {
	r := api.PinResult{Files: []api.Blob{}}
	files, err := d.meant(what)
	for _, b := range files {
		if err = change(b); err != nil {
			break
		}
		r.Files = append(r.Files, b)
	}
	u := d.store.Usage()
	r.PinnedBytes, r.LimitBytes = u.Pinned, pinLimit(u)
	for i, b := range r.Files {
		if id, err := digest.Parse(b.Digest); err == nil {
			if info, err := d.store.Stat(id); err == nil {
				r.Files[i].Pinned = info.Pinned
			}
		}
	}
	return r, err
}

// meant are the held files that what means: one by its digest, those of a name, or those
// of a package.
func (d *Dashboard) meant(what string) ([]api.Blob, error) {
	if b, err := digest.Parse(strings.ToLower(what)); err == nil {
		info, err := d.store.Stat(b)
		if err != nil {
			return nil, blobProblem(err)
		}
		return []api.Blob{d.blob(info)}, nil
	}
	files, err := d.versions(what)
	if err != nil || len(files) > 0 {
		return files, err
	}
	if what != "" {
		for info, err := range d.store.Named(what, "") {
			if err != nil {
				return nil, err
			}
			if info.Name != what || len(files) == maxVersions {
				break
			}
			files = append(files, d.blob(info))
		}
	}
	if len(files) == 0 {
		return nil, problem(http.StatusNotFound, fmt.Sprintf(
			"The box holds no package, and no file, that is called %q. What it holds is listed under Packages, and by GET /api/v1/blobs?q=.", what))
	}
	return files, nil
}

// pinLimit is up to how many bytes files may be pinned by hand.
func pinLimit(u store.Usage) int64 { return u.QuotaBytes / pinnedOf * pinnedParts }

// pinOne pins a file, if there is room for it among the pinned ones.
func (d *Dashboard) pinOne(b api.Blob) error {
	id, err := digest.Parse(b.Digest)
	if err != nil {
		return err
	}
	u := d.store.Usage()
	if limit := pinLimit(u); !b.Pinned && u.Pinned+b.Size > limit {
		return problem(http.StatusConflict, fmt.Sprintf(
			"%s of files are pinned, and %s is the limit, so that clients have room in the cache; %s with %s is too much. Unpin others, or set MILLPOND_CACHE_SIZE higher.",
			FormatBytes(u.Pinned), FormatBytes(limit), b.Name, FormatBytes(b.Size)))
	}
	return d.store.Pin(id, store.ByAdmin)
}
