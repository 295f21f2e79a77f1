package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// grace is how long downloads by clients may go on after the box was told to
	// stop. It is below the 30 s after which supervisors commonly kill.
	grace = 25 * time.Second
	// syncEvery bounds the metadata that a power cut can lose. A killed process
	// loses none, and blobs are synced when they are committed.
	syncEvery = time.Minute
)

// Run serves until ctx ends or a part fails, then lets clients finish their
// downloads within the grace period and closes everything. It returns nil after
// an orderly shutdown, even if downloads had to be cut off. It is called once.
func (a *Appliance) Run(ctx context.Context) error {
	// The parts outlive ctx: downloads need them until they are finished.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	parts, failed := errgroup.WithContext(background)
	runs := []func(context.Context) error{
		a.db.Run, a.sync, func(ctx context.Context) error { return a.unlessFull(a.ledger.Run(ctx)) },
		a.notes.Run, a.wishes.Run, a.store.Run, a.catalog.Run, a.fetch.Run, a.watchKeys, a.watchCertificate, a.watchLists, a.checkNames,
		a.follow.Run, a.prefetch.Run, a.rings.Run, a.keep.Run, a.verifier.Run, a.carrier.Run, a.purge,
		a.dashboard.Run, a.runAccessLog, a.advertise, a.runSwarm, a.site.Run, a.limit.Run, a.lag.Run,
	}
	hangups := a.hangups()
	for _, run := range runs {
		parts.Go(func() error { return run(failed) })
	}
	for _, s := range a.servers {
		parts.Go(s.serve)
		a.log.Info("serving", "addr", s.listener.Addr().String())
	}
	parts.Go(func() error { return a.reload(failed, hangups) })
	parts.Go(func() error { return a.watchdog(failed) })
	select {
	case <-ctx.Done(): // main limits the time
	case <-failed.Done():
		defer exitLate().Stop()
	}
	a.tellSupervisor("STOPPING=1")
	a.leave()
	a.drain(context.WithoutCancel(ctx))
	stop()
	return errors.Join(parts.Wait(), a.close())
}

// serve returns nil when the server was told to stop.
func (s server) serve() error {
	if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", s.listener.Addr(), err)
	}
	return nil
}

// drain accepts no new requests and waits until clients have received the
// answers to those in progress.
func (a *Appliance) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	a.log.Info("stopping, waiting for downloads to finish", "limit", grace)
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			a.log.Warn("downloads cut off", "addr", s.listener.Addr().String(), "err", err)
			s.Close() // its error would repeat Shutdown's
		}
	}
	if err := a.proxy.Shutdown(ctx); err != nil {
		a.log.Warn("tunnels cut off", "err", err)
	}
	for _, s := range a.servers {
		if err := sent(ctx, s.listener.Addr().(*net.TCPAddr).Port); err != nil {
			a.log.Warn("slow clients may not receive the end of their downloads", "addr", s.listener.Addr().String(), "err", err)
		}
	}
}

// sync flushes the database to disk periodically until ctx ends. Closing the
// database flushes it a last time.
func (a *Appliance) sync(ctx context.Context) error {
	return every(ctx, syncEvery, func() {
		if err := a.db.Sync(); err != nil {
			// Serving continues; the next attempt may succeed.
			a.log.Warn("database not flushed, a power cut would lose changes", "err", err)
		}
	})
}

// every calls do at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}
