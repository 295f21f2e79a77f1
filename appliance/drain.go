package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"millpond/internal/api"
)

const (
	// drainPoll is the time between two looks of `millpond drain`.
	drainPoll = 250 * time.Millisecond
	// drainQuiet is for how long nothing may be under way before a client counts as
	// done, if the command is not told: apt's pauses between the files of one run are
	// shorter.
	drainQuiet = 2 * time.Second
)

// drainTimes are what `millpond drain` is told.
type drainTimes struct {
	quiet time.Duration // for how long nothing may be under way; 0: drainQuiet
	limit time.Duration // for how long it waits at most; 0: without a limit
}

// parseDrainTimes reads the arguments of `millpond drain`.
func parseDrainTimes(args []string) (t drainTimes, err error) {
	if len(args) > 2 {
		return t, fmt.Errorf("drain takes two times at most, not %q", args)
	}
	for i, to := range []*time.Duration{&t.quiet, &t.limit}[:len(args)] {
		*to, err = time.ParseDuration(args[i])
		if err != nil || *to <= 0 {
			return t, fmt.Errorf("drain takes times such as 10s and 5m, not %q", args[i])
		}
	}
	if t.limit > 0 && t.limit < t.quiet {
		return t, fmt.Errorf("drain would give up after %v, before %v have passed", t.limit, t.quiet)
	}
	return t, nil
}

// leaving is whether the box is being taken out.
type leaving struct {
	once  sync.Once
	began chan struct{} // closed when it is
	since time.Time     // written before began is closed
}

// leave begins to take the box out: it is not ready any more, tells other boxes and the
// network segment, and still serves all who come.
func (a *Appliance) leave() {
	a.leaving.once.Do(func() {
		a.log.Info("draining: not ready any more, other boxes are told")
		if a.swarm != nil {
			a.swarm.Leave()
		}
		a.leaving.since = time.Now()
		close(a.leaving.began)
	})
}

// draining reports how far that is.
func (a *Appliance) draining() api.Drain {
	d := api.Drain{Downloads: a.proxy.UnderWay()}
	select {
	case <-a.leaving.began:
		d.Since = a.leaving.since.UTC()
	default:
	}
	return d
}

// drainCommand has the box on this machine drain, and waits until it serves nobody.
// Whatever stops the box after it has told others by then: if the box does not drain, the
// command fails no sooner than the time that it was told.
func drainCommand(ctx context.Context, c Config, times drainTimes, stdout io.Writer) error {
	passed := time.After(times.quiet)
	err := drainBox(ctx, c, times, stdout)
	if err != nil {
		select {
		case <-passed:
		case <-ctx.Done():
		}
	}
	return err
}

func drainBox(ctx context.Context, c Config, times drainTimes, stdout io.Writer) error {
	if c.AdminToken == "" {
		return errors.New("MILLPOND_ADMIN_TOKEN is not set: set it, for the box too, or stop the box, which gives downloads " + grace.String())
	}
	d, err := askAPI[api.Drain](ctx, c, http.MethodPost, "drain", c.AdminToken, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The box is not ready any more and still serves; %d downloads are under way.\n", d.Downloads)
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	var over <-chan time.Time
	if times.limit > 0 {
		over = time.After(times.limit)
	}
	enough := cmp.Or(times.quiet, drainQuiet)
	for quiet := time.Now(); time.Since(quiet) < enough; {
		select {
		case <-over:
			return fmt.Errorf("%d downloads are under way after %v; the box is still draining, and gives them %v when it is stopped", d.Downloads, times.limit, grace)
		case <-ctx.Done():
			return fmt.Errorf("interrupted while %d downloads are under way; the box is still draining, and ready again after a restart", d.Downloads)
		case <-tick.C:
		}
		if d, err = askAPI[api.Drain](ctx, c, http.MethodGet, "drain", c.AdminToken, nil); err != nil {
			return err
		}
		if d.Downloads > 0 {
			quiet = time.Now()
		}
	}
	fmt.Fprintln(stdout, "No downloads are under way: the box can be stopped.")
	return nil
}
