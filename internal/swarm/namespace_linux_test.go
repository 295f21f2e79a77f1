package swarm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/internal/peer"
)

// Loopback has no multicast, and libp2p does not apply its limits per address
// there. These tests run in their own network namespaces, as root or where users
// may create them; the machine's network is not changed.

func init() {
	roles["near"] = segmentNear
	roles["far"] = segmentFar
	roles["one address"] = manyFromOneAddress
}

// process is this test binary in another role and a new network namespace.
func process(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// play runs a role, with more in its environment, and returns what it wrote.
func play(t testing.TB, role string, more ...string) string {
	t.Helper()
	long(t)
	cmd := process(role)
	cmd.Env = append(cmd.Env, more...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// ip runs commands of iproute2, one a line.
func ip(script string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func wait(what string, ok func() bool) error {
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited too long for: %s", what)
		}
	}
	return nil
}

// onInterface is the number of bytes that came by and left by an interface.
func onInterface(name string) (float64, error) {
	counters, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(counters)) {
		if fields := strings.Fields(line); len(fields) > 9 && fields[0] == name+":" {
			received, err1 := strconv.ParseFloat(fields[1], 64)
			sent, err2 := strconv.ParseFloat(fields[9], 64)
			return received + sent, errors.Join(err1, err2)
		}
	}
	return 0, fmt.Errorf("there is no interface %s", name)
}

// start runs a box for the rest of the process.
func start(change func(*settings)) (*box, error) {
	dir, err := os.MkdirTemp("", "millpond")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // it was read
	b, err := openBox(dir, change)
	if err != nil {
		return nil, err
	}
	go func() { _ = b.serve(context.Background()) }() // until the process ends
	return b, nil
}

// cable starts another process of a role and lays a cable to its namespace:
// this end is 10.77.0.1 on near, that one 10.77.0.2 on far. Closing orders ends
// it; what it says is read from answers.
func cable(role string) (far *exec.Cmd, orders io.WriteCloser, answers *bufio.Reader, err error) {
	far = process(role)
	far.Stderr = os.Stderr
	in, err := far.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, err := far.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := far.Start(); err != nil {
		return nil, nil, nil, err
	}
	if err := ip(fmt.Sprintf(`link set lo up
link add near type veth peer name far
link set far netns %d
addr add 10.77.0.1/24 dev near
link set near up
`, far.Process.Pid)); err != nil {
		return nil, nil, nil, err
	}
	_, err = io.WriteString(in, "go\n")
	return far, in, bufio.NewReader(out), err
}

// tell sends an order and waits for the answer.
func tell(orders io.Writer, answers *bufio.Reader, order string) error {
	if _, err := io.WriteString(orders, order+"\n"); err != nil {
		return err
	}
	_, err := answers.ReadString('\n')
	return err
}

// plug waits for the cable at its far end and returns the orders.
func plug() (*bufio.Reader, error) {
	orders := bufio.NewReader(os.Stdin)
	if _, err := orders.ReadString('\n'); err != nil {
		return nil, err
	}
	return orders, ip("link set lo up\naddr add 10.77.0.2/24 dev far\nlink set far up\n")
}

// keyVariable holds the key of a swarm for both ends of a cable.
const keyVariable = "MILLPOND_SWARM_TEST_KEY"

// TestSegment has two processes at the ends of a cable, and boxes of other
// swarms on it.
func TestSegment(t *testing.T) {
	t.Parallel()
	play(t, "near")
}

func TestKeyedSegment(t *testing.T) {
	t.Parallel()
	play(t, "near", keyVariable+"="+string(NewKey()))
}

func onSegment(o *settings) {
	realPolicy(o)
	o.Local = true
	o.Listen = []string{"/ip4/0.0.0.0/tcp/0"}
}

// realPolicy has a box dial private addresses as outside of tests, in the swarm
// whose key is in the environment.
func realPolicy(o *settings) {
	o.Network.Public = nil
	if key := os.Getenv(keyVariable); key != "" {
		o.Key = []byte(key)
	}
}

func segmentNear() error {
	far, orders, _, err := cable("far")
	if err != nil {
		return err
	}
	b, err := start(onSegment)
	if err != nil {
		return err
	}
	keyed, err := start(func(o *settings) { onSegment(o); o.Key = NewKey() })
	if err != nil {
		return err
	}
	others := []*box{keyed}
	if os.Getenv(keyVariable) != "" {
		open, err := start(func(o *settings) { onSegment(o); o.Key = nil })
		if err != nil {
			return err
		}
		others = append(others, open)
	}
	kind := peer.Local
	if os.Getenv(keyVariable) != "" {
		kind = peer.Member
	}
	if err := wait("the far box", func() bool { p := b.Peers(); return len(p) == 1 && p[0].Nearby && p[0].Kind == kind }); err != nil {
		return fmt.Errorf("%w\n%s", err, b.log.buf.String())
	}
	if p := b.Peers()[0]; !strings.HasPrefix(p.Addr, "/ip4/10.77.0.2/") {
		return fmt.Errorf("the far box is %+v", p)
	}
	for _, other := range others {
		if n := other.Status().Neighbours; n != 0 || other.log.count("refused") != 0 {
			return errors.New("boxes of two swarms met by mDNS")
		}
	}
	if b.log.count("peer refused") > 0 {
		return fmt.Errorf("boxes of one swarm that dialled each other at once:\n%s", b.log.buf.String())
	}
	orders.Close()
	return far.Wait()
}

func segmentFar() error {
	orders, err := plug()
	if err != nil {
		return err
	}
	b, err := start(onSegment)
	if err != nil {
		return err
	}
	if err := wait("the near box", func() bool { return b.Status().Neighbours == 1 }); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, orders)
	return err
}

func TestManyFromOneAddress(t *testing.T) {
	t.Parallel()
	play(t, "one address")
}

func manyFromOneAddress() error {
	const n = 24
	if err := ip(`link set lo up
link add near type veth peer name far
addr add 10.77.0.1/24 dev near
link set near up
link set far up
`); err != nil {
		return err
	}
	listen := func(o *settings) { o.Listen = []string{"/ip4/10.77.0.1/tcp/0"} }
	hub, err := start(listen)
	if err != nil {
		return err
	}
	for range n {
		if _, err := start(func(o *settings) {
			listen(o)
			o.Mode, o.Bootstrap = Client, []string{hub.dialled()} // not all with all
		}); err != nil {
			return err
		}
	}
	return wait(fmt.Sprintf("%d boxes from one address", n), func() bool { return hub.Status().Neighbours == n })
}
