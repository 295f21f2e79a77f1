package fetch

import (
	"context"
	"errors"
	"fmt"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// Refresh makes the catalog know the mirror's present generation of the suite
// in dir, as a client's request for its head does: within the TTL nothing is
// asked. The error says why the mirror did not tell, though the last good
// generation stays in force.
func (f *Fetcher) Refresh(ctx context.Context, dir catalog.Location) error {
	s, err := load[suite](f.names, suiteKey(dir))
	if err != nil {
		return err
	}
	name := "InRelease"
	if s.InRelease.Digest.IsZero() && !s.Release.Digest.IsZero() {
		name = "Release"
	}
	e := catalog.Entry{Location: dir.Join(name), Kind: catalog.ReleaseFile, Size: -1, Suite: dir}
	s, c, err := f.checked(ctx, e)
	switch {
	case err != nil:
		return err
	case c != nil && c.stale != "":
		return errors.New(c.stale)
	case s.form(name).Digest.IsZero():
		return &mirror.StatusError{URL: e.Location.String(), Code: s.form(name).Missing}
	}
	return nil
}

// Keep fetches the content e into the store without a client, sharing the
// download with clients that want it meanwhile, and returns when it is held
// and, of an index, learned. store.ErrNoSpace says that it could not be kept.
// ctx ends the waiting, and soon the download if nobody else wants it.
func (f *Fetcher) Keep(ctx context.Context, e catalog.Entry) error {
	for range 3 { // as in content
		if f.holds(e.Digest) {
			if e.Index {
				f.learnStored(e)
			}
			return f.learned(ctx, e.Digest)
		}
		fl, err := f.join(flightKey{digest: e.Digest}, func() *flight { return f.newContentFlight(e) })
		if err != nil {
			return err
		}
		if err := fl.wait(ctx); err == nil {
			return f.learned(ctx, e.Digest)
		} else if !again(err) {
			return err
		}
	}
	return f.gone(e.Digest)
}

// wait returns when the flight has ended, for a caller that is no client and
// was counted in by join.
func (fl *flight) wait(ctx context.Context) error {
	b := fl.newBody(ctx, false)
	defer b.Close()
	for {
		fl.mu.Lock()
		changed, ended, err, unkept := fl.changed.Wait(), fl.ended, fl.err, fl.passthrough != nil
		fl.mu.Unlock()
		switch {
		case unkept:
			return fmt.Errorf("%s: %w", fl.entry.Location, store.ErrNoSpace)
		case ended:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// learned waits until the catalog has read the index d, if it is reading it.
func (f *Fetcher) learned(ctx context.Context, d digest.Digest) error {
	over := f.catalog.Learning(d)
	if over == nil {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
