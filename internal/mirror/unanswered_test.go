package mirror

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// insideNamespace is set if the test binary has a network of its own.
const insideNamespace = "MIRROR_TEST_INSIDE"

// TestDeadPooledConnection has a firewall forget the connection that the client
// keeps for the next request: nothing is answered on it, not even that it is
// unknown. It needs root, for a network namespace, and nftables.
func TestDeadPooledConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("waits 5 s")
	}
	if os.Getenv(insideNamespace) != "" {
		if err := askOverDead(t); err != nil {
			t.Error(err)
		}
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-euc",
		`ip link set lo up; exec "$0" -test.run '^TestDeadPooledConnection$' -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), insideNamespace+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDeadPooledConnection") {
		t.Errorf("%v\n%s", err, out)
	}
}

func askOverDead(t *testing.T) error {
	var from []string // one request at a time
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		io.WriteString(w, "here")
	}))
	defer srv.Close()
	defer srv.CloseClientConnections() // Close would wait for the dead one
	// Longer than the test may take: it must not be what ends the waiting.
	c := New(Options{Policy: mustPolicy(t, "127.0.0.1"), HeaderTimeout: 10 * time.Minute})
	defer c.Close()
	ask := func() error {
		a, err := c.Get(t.Context(), Request{URL: srv.URL + "/pool/a.deb"})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, a.Body)
		return errors.Join(err, a.Body.Close())
	}
	if err := errors.Join(ask(), ask()); err != nil {
		return err
	}
	if len(from) != 2 || from[0] != from[1] {
		return fmt.Errorf("requests came from %q, want two over one connection", from)
	}
	_, port, err := net.SplitHostPort(from[0])
	if err != nil {
		return err
	}
	rules := "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in tcp sport " + port + " drop"
	if out, err := exec.CommandContext(t.Context(), "nft", rules).CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	begun := time.Now()
	err = ask()
	t.Logf("a new connection after %v", time.Since(begun))
	if err == nil && from[2] == from[0] {
		err = errors.New("the dead connection answered")
	}
	return err
}
