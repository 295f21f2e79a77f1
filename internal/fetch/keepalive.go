package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"millpond/internal/store"
)

// keepAliveBytes is how much of a file the mirror sends to keep clients waiting: enough
// for apt to see that the download goes on, and half a minute's worth of a slow line.
const keepAliveBytes = 64 << 10

// startKeepAlive sees to it, until stop is called or ctx ends, that no client gives up
// while peers send what is not verified yet: the next bytes of the one that has waited
// longest come from the mirror then, beside the download. There is one such request at
// a time, and none within timeouts.keepAlive of the last.
func (fl *flight) startKeepAlive(ctx context.Context) (stop func()) {
	if !fl.shareable() || fl.entry.Size <= holdback {
		return func() {} // none from peers, or no byte leaves before the end anyway
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { fl.keepAlive(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

func (fl *flight) keepAlive(ctx context.Context) {
	every := fl.f.timeouts.keepAlive
	t := time.NewTicker(every / 10)
	defer t.Stop()
	var last time.Time
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if time.Since(last) < every {
			continue
		}
		part, off, ok := fl.starved(every)
		if !ok {
			continue
		}
		last = time.Now()
		ctx, cancel := context.WithTimeout(ctx, every/2) // time for another before apt gives up
		if err := fl.feed(ctx, part, off); err != nil {
			fl.log.Debug("no mirror sent bytes for a client that waits", "off", off, "err", err)
		}
		cancel()
	}
}

// starved returns where the client reads that has waited longest for bytes, if that is
// longer than patience and some of peers are there that are not verified.
func (fl *flight) starved(patience time.Duration) (part *store.Partial, off int64, ok bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.part == nil || fl.over || fl.passthrough != nil {
		return nil, 0, false
	}
	since := time.Now().Add(-patience)
	for b := range fl.bodies {
		at := b.off.Load()
		if !b.client || b.waits.IsZero() || b.waits.After(since) || at >= fl.size-holdback || fl.released(at) > 0 {
			continue
		}
		off, since, ok = at, b.waits, true
	}
	return fl.part, off, ok && len(fl.part.Untrusted()) > 0
}

// feed has a mirror send what a client reads next at off.
func (fl *flight) feed(ctx context.Context, part *store.Partial, off int64) error {
	err := ErrNoSource
	for _, m := range fl.mirrors() {
		var b []byte
		if b, err = fl.taste(ctx, m, off, min(keepAliveBytes, part.Size()-holdback-off)); len(b) == 0 {
			continue
		}
		written, err := fl.write(part, b, off, m)
		if len(written) > 0 {
			fl.grew(off, off+int64(len(b)), m)
		}
		return err
	}
	return err
}

// taste takes n bytes at off from m, or what of them comes before ctx ends.
func (fl *flight) taste(ctx context.Context, m mirrorSource, off, n int64) ([]byte, error) {
	s, err := m.Open(ctx, off, n)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	switch {
	case s.Off != off: // to skip the rest would cost more than it is worth
		return nil, errNoRange
	case s.Size >= 0 && s.Size != fl.entry.Size:
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, s.Size, fl.entry.Size)
	}
	b := make([]byte, n)
	got, err := io.ReadFull(s, b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b[:got], err
}
