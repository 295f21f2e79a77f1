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
	// grace is how long running downloads to clients get when the box stops.
	// It is below the 30 s that supervisors commonly give before they kill.
	grace = 25 * time.Second
	// syncEvery is how much metadata a power cut may cost. A killed process
	// loses none; and blobs are safe by themselves.
	syncEvery = time.Minute
)

// Run serves until ctx ends or a part fails, then lets running downloads to
// clients finish within the grace period and closes everything. It returns nil
// after an orderly end, even if downloads had to be cut. It is called once.
func (a *Appliance) Run(ctx context.Context) error {
	// The parts outlive ctx: downloads that may finish need them.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	parts, failed := errgroup.WithContext(background)
	runs := []func(context.Context) error{
		a.db.Run, a.sync, a.ledger.Run, a.store.Run, a.catalog.Run, a.fetch.Run, a.prefetch.Run, a.dashboard.Run, a.nameBlobs, a.advertise,
	}
	if a.swarm != nil {
		runs = append(runs, a.swarm.Run)
	}
	for _, run := range runs {
		parts.Go(func() error { return run(failed) })
	}
	for _, s := range a.servers {
		parts.Go(s.serve)
		a.log.Info("serving", "addr", s.listener.Addr().String())
	}
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
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

// drain takes no new requests and waits for the running ones, until clients have
// what they were sent.
func (a *Appliance) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	a.log.Info("stopping; running downloads may finish", "within", grace)
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			a.log.Warn("downloads are cut short", "addr", s.listener.Addr().String(), "err", err)
			s.Close() // what it could say, Shutdown has said
		}
	}
	if err := a.proxy.Shutdown(ctx); err != nil {
		a.log.Warn("tunnels are cut short", "err", err)
	}
	for _, s := range a.servers {
		if err := sent(ctx, s.listener.Addr().(*net.TCPAddr).Port); err != nil {
			a.log.Warn("slow clients may miss the end of their downloads", "addr", s.listener.Addr().String(), "err", err)
		}
	}
}

// sync makes the database survive a power cut, again and again until ctx ends.
// Closing the database does it a last time.
func (a *Appliance) sync(ctx context.Context) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := a.db.Sync(); err != nil {
			// Serving goes on; the next time may do.
			a.log.Warn("the database is not safe from a power cut", "err", err)
		}
	}
}
