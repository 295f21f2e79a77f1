package fetch

import "errors"

// lateError is the failure of a flight that had failed in part before its client
// joined: that gets a fresh one, once. The client that started the flight does not,
// though it may read from it only after a fast failure.
type lateError struct{ err error }

func (e *lateError) Error() string { return e.err.Error() }
func (e *lateError) Unwrap() error { return e.err }

// isLate reports whether err is one.
func isLate(err error) bool {
	var late *lateError
	return errors.As(err, &late)
}

// fails notes that a source failed.
func (fl *flight) fails() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.failed = true
}
