package box

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"millpond/e2e/internal/system"
)

// Network is a network of this test's own: a bridge in a namespace of its own
// kind of address, and hosts on it, each a network namespace. It needs root
// and iproute2, and is taken down at the end of the test.
type Network struct {
	IP string // of this machine on the bridge: where mirrors listen

	tb     testing.TB
	bridge string
	hosts  int
}

// Host is a host on a Network.
type Host struct {
	IP string

	tb   testing.TB
	name string // of its namespace, and of its link on the bridge
}

// NewNetwork makes a network 10.231.n.0/24; n keeps networks of tests apart.
func NewNetwork(tb testing.TB, n int) *Network {
	tb.Helper()
	w := &Network{IP: fmt.Sprintf("10.231.%d.1", n), tb: tb, bridge: fmt.Sprintf("mpbr%d", n)}
	ip(tb, "link", "add", w.bridge, "type", "bridge")
	tb.Cleanup(func() { ip(tb, "link", "del", w.bridge) })
	ip(tb, "addr", "add", w.IP+"/24", "dev", w.bridge)
	ip(tb, "link", "set", w.bridge, "up")
	return w
}

// Host adds a host, at an address below 10.231.n.128.
func (w *Network) Host() *Host {
	w.tb.Helper()
	w.hosts++
	return w.HostAt(9 + w.hosts)
}

// HostAt adds the host 10.231.n.last.
func (w *Network) HostAt(last int) *Host {
	w.tb.Helper()
	h := &Host{IP: fmt.Sprint(strings.TrimSuffix(w.IP, "1"), last), tb: w.tb, name: fmt.Sprintf("%sh%d", w.bridge, last)}
	ip(w.tb, "netns", "add", h.name)
	w.tb.Cleanup(func() { ip(w.tb, "netns", "del", h.name) })
	ip(w.tb, "link", "add", h.name, "type", "veth", "peer", "name", "eth0", "netns", h.name)
	w.tb.Cleanup(func() { ip(w.tb, "link", "del", h.name) }) // the namespace takes its time
	ip(w.tb, "link", "set", h.name, "master", w.bridge, "up")
	ip(w.tb, "-n", h.name, "addr", "add", h.IP+"/24", "dev", "eth0")
	ip(w.tb, "-n", h.name, "link", "set", "eth0", "up")
	ip(w.tb, "-n", h.name, "link", "set", "lo", "up")
	return h
}

// Command is a command that will run on the host.
func (h *Host) Command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.name, program}, args...)...)
}

// Firewall refuses, without an answer, connections that other hosts of the network
// open to the host; this machine's pass.
func (h *Host) Firewall() {
	h.tb.Helper()
	network := h.IP[:strings.LastIndex(h.IP, ".")]
	for _, rule := range [][]string{{"-s", network + ".1", "-j", "ACCEPT"}, {"-p", "tcp", "--syn", "-s", network + ".0/24", "-j", "DROP"}} {
		if err := system.Finish(h.Command("iptables", append([]string{"-w", "-A", "INPUT"}, rule...)...)); err != nil {
			h.tb.Fatal(err)
		}
	}
}

// Limit makes what the host sends pass at that many Mbit/s.
func (h *Host) Limit(mbit int) {
	h.tb.Helper()
	run(h.tb, "tc", "-n", h.name, "qdisc", "add", "dev", "eth0", "root", "tbf",
		"rate", fmt.Sprintf("%dmbit", mbit), "burst", "64kb", "latency", "50ms")
}

// LimitIncoming makes what others send to the host pass at that many Mbit/s.
func (h *Host) LimitIncoming(mbit int) {
	h.tb.Helper()
	// What passes between two ticks of the kernel's clock has to fit into the burst.
	burst := max(64_000, mbit*1_000_000/8/250)
	run(h.tb, "tc", "qdisc", "add", "dev", h.name, "root", "tbf",
		"rate", fmt.Sprintf("%dmbit", mbit), "burst", fmt.Sprint(burst), "latency", "50ms")
}

// AddAddress gives the host another address, 10.231.n.last, and returns it.
func (h *Host) AddAddress(last int) string {
	h.tb.Helper()
	more := fmt.Sprint(h.IP[:strings.LastIndex(h.IP, ".")+1], last)
	ip(h.tb, "-n", h.name, "addr", "add", more+"/24", "dev", "eth0")
	return more
}

// Cut takes the host off the network, Heal puts it back.
func (h *Host) Cut() { h.tb.Helper(); ip(h.tb, "link", "set", h.name, "down") }

// Heal undoes Cut.
func (h *Host) Heal() { h.tb.Helper(); ip(h.tb, "link", "set", h.name, "up") }

func ip(tb testing.TB, args ...string) { tb.Helper(); run(tb, "ip", args...) }

func run(tb testing.TB, program string, args ...string) {
	tb.Helper()
	if err := system.Run(program, args...); err != nil {
		tb.Fatal(err)
	}
}
