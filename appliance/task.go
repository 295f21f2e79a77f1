package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"millpond/internal/api"
	"millpond/internal/jobs"
)

const (
	// taskPoll is the time between two looks at a task in the box.
	taskPoll = 500 * time.Millisecond
	// stopWithin is how long an interrupted command waits until the box has stopped: a
	// batch of files is synced first.
	stopWithin = 10 * time.Second
)

// task is long work that the box does when a command asks for it: a POST to its path of
// the API begins it, GET tells how far it is, and DELETE stops it.
type task[T any] struct {
	path string
	did  string // "Verified", before what is done
	what string // "the check", in errors
	goes string // on when the command does not see it any more
	of   func(T) taskState
}

// taskState is how far a task is.
type taskState struct {
	running bool
	began   time.Time
	job     *api.Job
}

// do has the box do it, and shows how far it is until it is done. If ctx ends before, the
// task is stopped.
func (t task[T]) do(ctx context.Context, c Config, i invocation, request any) (v T, err error) {
	if v, _, err = act[T](ctx, c, t.path, request); err != nil {
		return v, err
	}
	s := t.of(v)
	began := s.began
	p := showProgress(i.stderr, t.did, nil)
	defer p.End()
	if s.job != nil {
		p.Skip(s.job.Files, s.job.Bytes)
	}
	tick := time.NewTicker(taskPoll)
	defer tick.Stop()
	for s.running {
		if s.job != nil {
			p.Expect(jobs.Amount{Files: s.job.TotalFiles, Bytes: s.job.TotalBytes})
			p.Set(jobs.Amount{Files: s.job.Files, Bytes: s.job.Bytes})
		}
		select {
		case <-ctx.Done():
			return t.stop(ctx, c)
		case <-tick.C:
		}
		v, err = t.ask(ctx, c)
		switch {
		case ctx.Err() != nil:
			return t.stop(ctx, c)
		case err != nil:
			return v, fmt.Errorf("%w; %s", err, t.goes)
		}
		if s = t.of(v); !s.began.Equal(began) {
			return v, fmt.Errorf("the box at %v was restarted, or does something else of this kind by now; %s", boxOf(c), t.goes)
		}
	}
	return v, nil
}

func (t task[T]) ask(ctx context.Context, c Config) (T, error) {
	return askAPI[T](ctx, c, http.MethodGet, t.path, c.AdminToken, nil)
}

// stop stops the task in the box when the command was interrupted.
func (t task[T]) stop(ctx context.Context, c Config) (v T, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if _, err := askRaw(ctx, c, http.MethodDelete, t.path, c.AdminToken, nil); err != nil {
		return v, fmt.Errorf("interrupted, and %s in the box was not stopped: %w", t.what, err)
	}
	tick := time.NewTicker(taskPoll)
	defer tick.Stop()
	for {
		if v, err = t.ask(ctx, c); err != nil || !t.of(v).running {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("interrupted, and %s in the box has not stopped yet; it will", t.what)
		case <-tick.C:
		}
	}
}
