package release

import (
	"errors"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

var (
	// errOlder says that a Release is older than the one in force.
	errOlder = errors.New("the mirror's Release is older than the held one")
	// errUnsigned says that a Release has no good signature, and the one in force
	// has.
	errUnsigned = errors.New("the mirror's Release has no good signature, and the held one has")
)

// worse returns why the Release now does not replace held, the one in force, or nil
// if it does: a mirror that has not been updated lately sends an older one, one that
// lies sends one without a good signature. A held one that has expired is replaced
// by any that has not.
func worse(held, now catalog.Generation) error {
	switch {
	case expired(held) && !expired(now):
		return nil
	case held.Signed && !now.Signed:
		return fmt.Errorf("%w: %s", errUnsigned, now.Why)
	case now.Date.Before(held.Date):
		return fmt.Errorf("%w: %s instead of %s", errOlder, now.Date.Format(time.RFC3339), held.Date.Format(time.RFC3339))
	}
	return nil
}

func expired(g catalog.Generation) bool {
	return !g.ValidUntil.IsZero() && g.ValidUntil.Before(time.Now())
}

// outcome is how a check at one mirror failed, the most telling one first.
type outcome uint8

const (
	incomplete outcome = iota // there is something newer, but not its indices
	older
	unsigned
	absent     // the mirror has no Release, or refuses it
	noRelease  // its answer is something else
	unanswered // it gave no answer
)

func outcomeOf(err error) outcome {
	switch {
	case errors.Is(err, errNotYet):
		return incomplete
	case errors.Is(err, errOlder):
		return older
	case errors.Is(err, errUnsigned):
		return unsigned
	case errors.Is(err, ErrNotRelease):
		return noRelease
	case !mirror.IsUnreachable(err):
		return absent
	}
	return unanswered
}

// keepsHeld reports whether err says that what is held is better than what the
// mirror has.
func keepsHeld(err error) bool { return outcomeOf(err) <= unsigned }
