package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// purgeFor bounds one call of Purge, after which another one goes on. Servers and proxies
// on the way give an answer 30 s at least.
const purgeFor = 15 * time.Second

// Scope is a host, or a file or directory there, over http or https.
type Scope struct {
	Host string // with its port if that is not the scheme's own, as in a Location
	Path string // "" is all of the host; else it begins with a slash and does not end with one
}

// Has reports whether l is in the scope.
func (s Scope) Has(l catalog.Location) bool {
	rest, ok := strings.CutPrefix(l.Path, s.Path)
	return l.Host == s.Host && ok && (rest == "" || rest[0] == '/')
}

// Purged is what a Purge did.
type Purged struct {
	Files, Bytes int64 // removed
	InUse        int64 // files that stay, since somebody reads them,
	Pinned       int64 // or since they are pinned, as Release files are,
	Shared       int64 // or since they are elsewhere too
	Next         digest.Digest
	More         bool // there was not time for all: go on from Next
}

// Purge removes, from the digest from on, the blobs that are in a scope and, as far as
// indices and requests tell, nowhere else. What no index lists and nobody asked for under
// a name that is known is where its bytes came from. Pinned blobs and those that are read
// stay, as do names: the next request for one asks the mirror.
func (f *Fetcher) Purge(ctx context.Context, s Scope, from digest.Digest) (p Purged, err error) {
	where := whereabouts{f.catalog, f.names}
	asked, err := where.askedFor(s)
	if err != nil {
		return p, err
	}
	end := time.Now().Add(purgeFor)
	for info, err := range f.store.From(from) {
		if err != nil {
			return p, err
		}
		if ctx.Err() != nil || time.Now().After(end) {
			p.Next, p.More = info.Digest, true
			return p, ctx.Err()
		}
		inside, outside := where.placed(s, info, asked)
		switch {
		case !inside:
			continue
		case outside:
			p.Shared++
			continue
		}
		freed, err := f.store.Purge(info.Digest)
		switch {
		case err == nil:
			p.Files++
			p.Bytes += freed
		case errors.Is(err, store.ErrPinned):
			p.Pinned++
		case errors.Is(err, store.ErrInUse):
			p.InUse++
		case !errors.Is(err, fs.ErrNotExist): // evicted meanwhile
			return p, err
		}
	}
	return p, nil
}

// Inside returns what reports whether a held file is in a scope, as far as indices and the
// names table of a Fetcher tell.
func Inside(c *catalog.Catalog, names *kv.Table, s Scope) (func(store.Info) bool, error) {
	where := whereabouts{c, names}
	asked, err := where.askedFor(s)
	return func(info store.Info) bool {
		inside, _ := where.placed(s, info, asked)
		return inside
	}, err
}

// whereabouts knows where files are.
type whereabouts struct {
	catalog *catalog.Catalog
	names   *kv.Table
}

// named says where files that no index lists were asked for.
type named struct{ inside, outside bool }

// askedFor returns where the files were asked for that no index lists and that were asked
// for in a scope, by what is held of them.
func (w whereabouts) askedFor(s Scope) (map[digest.Digest]named, error) {
	all := make(map[digest.Digest]named)
	// Twice, so that memory holds those in the scope alone.
	for _, inside := range []bool{true, false} {
		for _, prefix := range []string{"file/", privatePrefix} {
			err := w.names.Scan([]byte(prefix), nil, func(k, value []byte) bool {
				var v mirror.Copy
				l, err := catalog.ParseURL(strings.TrimPrefix(string(k), prefix))
				if err != nil || json.Unmarshal(value, &v) != nil || v.Digest.IsZero() || s.Has(l) != inside {
					return true
				}
				if n, known := all[v.Digest]; inside {
					all[v.Digest] = named{inside: true}
				} else if known {
					n.outside = true
					all[v.Digest] = n
				}
				return true
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// placed reports whether a blob is in a scope, and whether it is outside as well or may be.
func (w whereabouts) placed(s Scope, info store.Info, asked map[digest.Digest]named) (inside, outside bool) {
	n := asked[info.Digest]
	inside, outside = n.inside, n.outside
	places, all := w.catalog.Places(info.Digest)
	for _, l := range places {
		if s.Has(l) {
			inside = true
		} else {
			outside = true
		}
	}
	if len(places) > 0 || n.inside || s.Path != "" {
		return inside, outside || !all
	}
	// Superseded, most likely.
	for _, from := range info.From {
		if from.Peer {
			continue
		}
		if from.Name == s.Host {
			inside = true
		} else {
			outside = true
		}
	}
	return inside, outside
}
