package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"millpond/internal/kv"
	"millpond/internal/logs"
)

// parked is a box without ports and without a swarm, for a command that works in its data
// directory while no box runs there.
type parked struct {
	*Appliance
	stop  context.CancelFunc
	parts *errgroup.Group
}

// park opens the data directory for a command. With offline it asks no mirror. noBox says
// why no box was asked.
func park(ctx context.Context, c Config, offline bool, noBox error, stderr io.Writer) (*parked, error) {
	c.Swarm, c.Offline = false, c.Offline || offline
	c.LogLevel.Level = max(c.LogLevel.Level, slog.LevelWarn) // what it tells is in the report
	log := newLogger(c, stderr)
	limitMemory(log, os.DirFS("/"))
	if info, err := os.Stat(databaseDir(c.DataDir)); err == nil {
		if err := checkOwner(info); err != nil {
			return nil, dataFault(c.DataDir, err)
		}
	}
	a := newAppliance(c, log)
	a.log = slog.New(logs.Redact(a.limit))
	for _, open := range []func() error{a.openData, a.openNetwork} {
		if err := open(); err != nil {
			err = errors.Join(err, a.close())
			if errors.Is(err, kv.ErrLocked) {
				err = fmt.Errorf("%w, and yet one runs: %w", noBox, err)
			}
			return nil, err
		}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &parked{Appliance: a, stop: stop}
	var running context.Context
	p.parts, running = errgroup.WithContext(background)
	for _, run := range []func(context.Context) error{a.db.Run, a.ledger.Run, a.store.Run, a.catalog.Run, a.fetch.Run} {
		p.parts.Go(func() error { return run(running) })
	}
	return p, nil
}

// leave closes what park opened.
func (p *parked) leave() error {
	p.stop()
	return errors.Join(p.parts.Wait(), p.close())
}
