package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// lookAgain is the time between two looks at the kernel's list of connections,
// which takes it a millisecond for some thousands.
const lookAgain = 50 * time.Millisecond

// sent waits until clients have all that was written to connections of a local
// port, or ctx ends. A handler is done when the kernel has taken its last
// bytes, megabytes before a slow client has them; and when this process ends, a
// container's network may go before the kernel has sent them.
func sent(ctx context.Context, port int) error {
	for {
		waiting, err := unsent(port)
		if err != nil || !waiting {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

// unsent reports whether a socket of a local port, closed or not, has bytes
// that were not acknowledged.
func unsent(port int) (bool, error) {
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return false, err
		}
		waiting, err := waits(f, port)
		f.Close()
		if waiting || err != nil {
			return waiting, err
		}
	}
	return false, nil
}

// waits reports whether a connection of a local port in list, as proc_net_tcp(5)
// has it, has bytes in its send queue. A listener's queue is of something else.
func waits(list io.Reader, port int) (bool, error) {
	const listening = "0A"
	local := fmt.Sprintf(":%04X", port)
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue …
		v := strings.Fields(lines.Text())
		if len(v) > 4 && strings.HasSuffix(v[1], local) && v[3] != listening && !strings.HasPrefix(v[4], "00000000:") {
			return true, nil
		}
	}
	return false, lines.Err()
}
