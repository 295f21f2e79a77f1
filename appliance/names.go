package main

import (
	"context"
	"errors"
	"io/fs"

	"millpond/internal/store"
)

// nameBlobs gives blobs without a name the one that the catalog knows them by,
// again whenever the catalog has learned something, until ctx ends; it then
// returns nil. There are such blobs where the database was lost, and from
// before names were kept.
func (a *Appliance) nameBlobs(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := a.catalog.Changed()
		if err := a.nameUnnamed(ctx); err != nil {
			a.log.Warn("files that are held have no names and cannot be searched for", "err", err)
		}
		settled(ctx, a.catalog, changed)
	}
	return nil
}

func (a *Appliance) nameUnnamed(ctx context.Context) error {
	for d, err := range a.store.Unnamed() {
		if err != nil || ctx.Err() != nil {
			return err
		}
		e, ok := a.catalog.Describe(d)
		if !ok {
			continue
		}
		err := a.store.Annotate(d, store.Meta{Name: e.Location.Name()})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is not removed meanwhile
			return err
		}
	}
	return nil
}
