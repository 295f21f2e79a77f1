// Package box runs the built program for end-to-end tests: a process of its
// own with its own data directory and ports, as an administrator would start
// it, watched through its HTTP face alone.
//
// The program is the one that MILLPOND_BINARY names; `make` builds it and sets
// the variable.
package box

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
)

// Box is a running millpond.
type Box struct {
	URL  string // http://127.0.0.1:port
	Data string // its data directory

	// Program is what Run starts; "": what MILLPOND_BINARY names.
	Program string

	tb  testing.TB
	in  []string // what the program is run with: ip netns exec …
	env []string
	cmd *exec.Cmd
	out *output
}

// Start runs a box that takes clients from loopback, with settings on top of
// the defaults ("MILLPOND_OFFLINE=true"), and waits until it is ready. It is
// stopped at the end of the test.
func Start(tb testing.TB, settings ...string) *Box {
	tb.Helper()
	return start(tb, "", nil, FreeAddr(tb), "127.0.0.1", settings)
}

// StartProgram is Start for another program than this version's.
func StartProgram(tb testing.TB, program string, settings ...string) *Box {
	tb.Helper()
	return start(tb, program, nil, FreeAddr(tb), "127.0.0.1", settings)
}

// StartIn is Start for a box in a host of a Network.
func StartIn(tb testing.TB, h *Host, settings ...string) *Box {
	tb.Helper()
	return start(tb, "", []string{"ip", "netns", "exec", h.name}, h.IP+":3142", h.IP, settings)
}

func start(tb testing.TB, program string, in []string, addr, ip string, settings []string) *Box {
	tb.Helper()
	data := filepath.Join(tb.TempDir(), "data")
	for _, s := range settings {
		if listen, ok := strings.CutPrefix(s, "MILLPOND_LISTEN="); ok {
			addr, _, _ = strings.Cut(listen, ",")
		}
	}
	b := &Box{
		URL: "http://" + addr, Data: data, Program: program, tb: tb, in: in,
		env: append([]string{
			"PATH=" + os.Getenv("PATH"), "MILLPOND_LISTEN=" + addr, "MILLPOND_DATA_DIR=" + data, "MILLPOND_CACHE_SIZE=20GB",
			"MILLPOND_SWARM_LISTEN=/ip4/" + ip + "/tcp/0", "MILLPOND_SWARM_LOCAL=false",
			// Where the mirrors of tests are: such archives are private otherwise.
			"MILLPOND_SHARE_HOSTS=127.0.0.0/8,10.231.0.0/16,localhost",
		}, settings...),
	}
	tb.Cleanup(b.Stop)
	b.Run()
	return b
}

// Run starts the process, and waits until it is ready; after Kill or Stop it starts it
// again on the same data.
func (b *Box) Run() {
	b.tb.Helper()
	b.Launch()
	b.Await()
}

// Launch is Run without the wait.
func (b *Box) Launch() {
	b.tb.Helper()
	binary := os.Getenv("MILLPOND_BINARY")
	if binary == "" {
		b.tb.Fatal("MILLPOND_BINARY names no program; run the tests with `make e2e-apt`")
	}
	b.out = new(output)
	args := append(slices.Clone(b.in), cmp.Or(b.Program, binary))
	b.cmd = exec.Command(args[0], args[1:]...)
	b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = b.env, b.out, b.out
	if err := b.cmd.Start(); err != nil {
		b.cmd = nil // there is nothing to stop
		b.tb.Fatal(err)
	}
}

// Await waits until the box is ready.
func (b *Box) Await() {
	b.tb.Helper()
	err := poll.Until(b.tb.Context(), 30*time.Second, "the box is ready", func() error {
		resp, err := http.Get(b.URL + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if err != nil {
		b.tb.Fatalf("%v; its log:\n%s", err, b.Log())
	}
}

// Stop ends the box in order and checks that it says so.
func (b *Box) Stop() {
	if b.cmd == nil {
		return
	}
	if err := b.Terminate(); err != nil {
		b.tb.Errorf("the box ended with %v:\n%s", err, b.Log())
	}
	if b.tb.Failed() {
		b.tb.Logf("log of the box:\n%s", b.Log())
	}
}

// Terminate is Stop for a box that may have reason not to end in order, and returns how
// it ended.
func (b *Box) Terminate() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.tb.Errorf("stopping the box: %v", err)
	}
	err := b.cmd.Wait()
	b.cmd = nil
	return err
}

// RunRefused starts the process where it cannot serve, and returns how it ended.
func (b *Box) RunRefused() error {
	b.tb.Helper()
	b.Launch()
	err := b.cmd.Wait()
	b.cmd = nil
	return err
}

// Kill ends the box at once, as a power switch would.
func (b *Box) Kill() {
	_ = b.cmd.Process.Kill() // it may have ended
	_ = b.cmd.Wait()         // reports the kill
	b.cmd = nil
}

// Log returns what the box printed since it was last started.
func (b *Box) Log() string { return b.out.String() }

// PID is the process's number, for looking at its memory.
func (b *Box) PID() int { return b.cmd.Process.Pid }

// Summary asks the box for its figures.
func (b *Box) Summary() api.Summary {
	b.tb.Helper()
	var s api.Summary
	if err := json.Unmarshal(b.Get("/api/v1/summary"), &s); err != nil {
		b.tb.Fatal(err)
	}
	return s
}

// Get returns the body of a 200 answer to a path of the box.
func (b *Box) Get(path string) []byte {
	b.tb.Helper()
	resp, err := http.Get(b.URL + path)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b.tb.Fatalf("GET %s: %s: %s", path, resp.Status, body)
	}
	return body
}

// Peers asks the box for the boxes that it is connected with.
func (b *Box) Peers() []api.Peer {
	b.tb.Helper()
	var all api.PeerList
	if err := json.Unmarshal(b.Get("/api/v1/peers"), &all); err != nil {
		b.tb.Fatal(err)
	}
	return all.Peers
}

// Until polls the box until a condition of its holds, at most 30 s.
func (b *Box) Until(what string, holds func() bool) {
	b.tb.Helper()
	poll.Must(b.tb, 30*time.Second, what, poll.That(holds))
}

// Command runs a subcommand of the program with the box's environment, where the box runs.
func (b *Box) Command(ctx context.Context, args ...string) (string, error) {
	args = append(append(slices.Clone(b.in), os.Getenv("MILLPOND_BINARY")), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Env is the environment of the box, for a command that is more than Command runs.
func (b *Box) Env() []string { return slices.Clone(b.env) }

// FreeAddr returns a loopback address that nobody listens on.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output is what a process printed, read while it runs.
type output struct {
	mu  sync.Mutex // guards buf
	buf strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
