package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"millpond/internal/mirror"
)

// ErrNotHeld says that the Release file of a generation that is not in force any more
// is not held.
var ErrNotHeld = errors.New("the box does not hold this Release file any more")

// generationFile serves the Release file of one generation, whatever is in force: no
// mirror has it but by chance.
func (f *Fetcher) generationFile(ctx context.Context, r Request) (*File, error) {
	d, ok := f.catalog.ReleaseFile(r.Suite, r.Generation, r.Location.Name())
	if !ok {
		return nil, &mirror.StatusError{URL: r.Location.String(), Code: http.StatusNotFound}
	}
	body, err := f.storedRelease(ctx, r, d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s of %s: %w", r.Location.Name(), r.Generation.Short(), ErrNotHeld)
	}
	if err != nil {
		return nil, err
	}
	file := &File{Digest: d, Size: -1, Release: r.Generation, Suite: r.Suite, Body: body}
	if info, err := f.store.Stat(d); err == nil {
		file.Size, file.Modified = info.Size, info.Modified
	}
	return file, nil
}
