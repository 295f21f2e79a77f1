package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"time"
)

const (
	// exitWithin is how long the process may take to stop. It is below the 30 s after
	// which supervisors commonly kill, and leaves 3 s to close everything after the
	// last downloads.
	exitWithin = grace + 3*time.Second
	// tellWithin bounds the writing of the message: the log may be what is stuck.
	tellWithin = time.Second
)

// exitLate ends the process with exit code 1 if that has not ended by itself within
// exitWithin, or the timer been stopped. A database that cannot write retries without
// end, also while it is closed, and a disk that does not answer holds whoever asks it.
// Nothing is lost by it but the figures of the last second: what is on disk is sound at
// every moment.
func exitLate() *time.Timer {
	return time.AfterFunc(exitWithin, func() {
		told := make(chan struct{})
		go func() {
			defer close(told)
			fmt.Fprintf(os.Stderr, "millpond: not stopped after %v, exiting without closing the database; "+
				"see that the disk of MILLPOND_DATA_DIR is there, writable and not full. What the process waits for:\n", exitWithin)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // there is nobody left to tell
		}()
		select {
		case <-told:
		case <-time.After(tellWithin):
		}
		os.Exit(exitFault)
	})
}
