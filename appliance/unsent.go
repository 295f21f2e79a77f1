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

// unsentPoll is the time between two reads of the kernel's list of
// connections. One read takes about a millisecond for some thousand connections.
const unsentPoll = 50 * time.Millisecond

// sent waits until clients have acknowledged every byte written to connections
// of a local port, or ctx ends. A handler returns when the kernel has buffered
// its last bytes; a slow client may lack megabytes then, and a container's
// network can be removed after this process ends and before they are sent.
func sent(ctx context.Context, port int) error {
	for {
		queued, err := unsent(port)
		if err != nil || !queued {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(unsentPoll):
		}
	}
}

// unsent reports whether a socket of a local port, closed or not, has
// unacknowledged bytes.
func unsent(port int) (bool, error) {
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return false, err
		}
		queued, err := hasQueued(f, port)
		f.Close()
		if queued || err != nil {
			return queued, err
		}
	}
	return false, nil
}

// hasQueued reports whether list, in the format of proc_net_tcp(5), has a
// connection of a local port with bytes in its send queue. For a listener this
// field means something else.
func hasQueued(list io.Reader, port int) (bool, error) {
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
