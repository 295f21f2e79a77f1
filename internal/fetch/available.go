package fetch

import (
	"context"
	"fmt"
	"io"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// available returns nil if the mirror has the file that a new Release lists, and why
// not otherwise. From a box of this site that has the file it is fetched, since clients
// will want it, and the mirror need not be asked. Else one byte is requested: its name
// by hash proves the file, and so does the size under a name that had another size.
// Where the sizes are the same, the file is fetched.
func (f *Fetcher) available(ctx context.Context, n catalog.Change, login mirror.Login) error {
	r := Request{Entry: n.Now, Login: login}
	if n.Now.Size == 0 || f.holdsFor(r) || f.isNearby(r) && f.keep(ctx, r) == nil {
		return nil
	}
	if n.ByHash != (catalog.Location{}) {
		for _, m := range withFailover(f.mirrorsAt(n.ByHash, login, -1, "")) {
			if size, err := m.size(ctx); err == nil && (size < 0 || size == n.Now.Size) {
				return nil
			}
		}
	}
	var why error
	for _, m := range withFailover(f.mirrorsAt(n.Now.Location, login, -1, "")) {
		size, err := m.size(ctx)
		switch {
		case err != nil:
			why = moreTelling(why, err)
		case size >= 0 && size != n.Now.Size:
			why = moreTelling(why, fmt.Errorf("%s: %w", m, errWrongSize))
		case size == n.Now.Size && size != n.Size:
			return nil
		default: // by its size it may be either
			if err := f.keep(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", n.Now.Location, err)
			}
			return nil
		}
	}
	return why
}

// isNearby reports whether a box of this site lists the file.
func (f *Fetcher) isNearby(r Request) bool {
	return f.swarm != nil && r.Login == "" && r.Shared.Includes(f.swarm.Widest()) &&
		slices.ContainsFunc(f.swarm.Seeds(r.Digest), peer.Peer.Nearby)
}

// size requests one byte and returns the size of the file, -1 if the mirror does
// not state it.
func (m mirrorSource) size(ctx context.Context) (int64, error) {
	m.request.Small = true
	s, err := m.Open(ctx, 0, 1)
	if err != nil {
		return -1, err
	}
	defer s.Close()
	_, err = io.CopyN(io.Discard, s, 1) // read, and so counted
	return s.Size, err
}
