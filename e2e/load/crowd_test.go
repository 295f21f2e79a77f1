package load

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
)

// crowd is a running generator.
type crowd struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	ended bool
}

// gather starts a generator, on a host if there is one.
func gather(t *testing.T, p plan, on *box.Host) *crowd {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "5", os.Args[0]} // those that are measured come first
	c := &crowd{t: t}
	if on != nil {
		c.cmd = on.Command("nice", args...)
	} else {
		c.cmd = exec.Command("nice", args...)
	}
	c.cmd.Env = append(os.Environ(), planVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	t.Cleanup(c.leave)
	return c
}

// leave ends all the clients at once.
func (c *crowd) leave() {
	if c.ended {
		return
	}
	c.ended = true
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the clients ended with %v", err)
	}
}

func (c *crowd) report() (r report) {
	c.t.Helper()
	if _, err := c.in.Write([]byte("\n")); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// await waits until the clients are where they should be.
func (c *crowd) await(what string, limit time.Duration, holds func(report) bool) {
	c.t.Helper()
	var last report
	err := poll.Until(c.t.Context(), limit, what, poll.That(func() bool {
		last = c.report()
		return holds(last)
	}))
	if err != nil {
		c.t.Fatalf("%v: %+v", err, last)
	}
}
