package fetch

import (
	"context"
	"fmt"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Keep fetches the content e into the store without a client, sharing the
// download with clients that want it meanwhile, and returns when it is held
// and, of an index, learned. store.ErrNoSpace and store.ErrDisk say that it could not be
// kept. ctx ends the waiting, and soon the download if nobody else wants it.
func (f *Fetcher) Keep(ctx context.Context, e catalog.Entry) error {
	return f.keep(ctx, Request{Entry: e, Login: f.access.Login(e.Location, "")})
}

// keep is Keep with a login.
func (f *Fetcher) keep(ctx context.Context, r Request) error {
	e := r.Entry
	for range 3 { // as in content
		if f.holdsFor(r) {
			if e.Index {
				f.learnStored(e)
			}
			return f.learned(ctx, e.Digest)
		}
		fl, _, err := f.join(r, func() *flight { return f.newContentFlight(r) })
		if err != nil {
			return err
		}
		if err := fl.wait(ctx); err == nil {
			return f.learned(ctx, e.Digest)
		} else if !again(err) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", e.Location, errEvicted)
}

// wait returns when the flight has ended, for a caller that is no client and
// was counted in by join.
func (fl *flight) wait(ctx context.Context) error {
	b := fl.newBody(ctx, false)
	defer b.Close()
	for {
		fl.mu.Lock()
		changed, ended, err, unkept := fl.changed.Wait(), fl.ended, fl.err, fl.passthrough
		fl.mu.Unlock()
		switch {
		case unkept != nil:
			return fmt.Errorf("%s: %w", fl.entry.Location, unkept.why)
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

// learned waits until the catalog has read the index d, if it is being read.
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
