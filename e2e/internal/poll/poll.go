// Package poll waits for what another process tells only when it is asked.
package poll

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// pause is the shortest between two questions. It is often enough for a wait to
// be over soon; a question that takes longer itself is asked more seldom, so
// that the processor is left to those that are waited for.
const pause = 50 * time.Millisecond

// ErrNotYet is the answer of somebody who can say no more than no.
var ErrNotYet = errors.New("not yet")

// Until asks again and again until it gets nil, for as long as limit. The error
// says what was waited for and has the last answer.
func Until(ctx context.Context, limit time.Duration, what string, ask func() error) error {
	begun := time.Now()
	for {
		asked := time.Now()
		err := ask()
		if err == nil {
			return nil
		}
		if time.Since(begun) > limit {
			return fmt.Errorf("waited %v until %s: %w", limit, what, err)
		}
		select {
		case <-time.After(max(pause, time.Since(asked))):
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w; last: %w", what, context.Cause(ctx), err)
		}
	}
}

// Must is Until in a test, which fails when the limit is over.
func Must(tb testing.TB, limit time.Duration, what string, ask func() error) {
	tb.Helper()
	if err := Until(tb.Context(), limit, what, ask); err != nil {
		tb.Fatal(err)
	}
}

// That makes an answer of a condition, for Until.
func That(holds func() bool) func() error {
	return func() error {
		if !holds() {
			return ErrNotYet
		}
		return nil
	}
}
