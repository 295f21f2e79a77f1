package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// The engine's network: a namespace that a link joins to this machine, which
// forwards what the containers send. iptables is what dockerd on the machine
// would use, whose rules may forbid all forwarding that comes after them.
const (
	name    = "millpond-engine" // of the namespace
	link    = "mpengine"        // the machine's end
	outside = "10.232.0.1"
	inside  = "10.232.0.2"
	subnet  = "10.232.0.0/24"
)

var rules = [][]string{
	{"nat", "POSTROUTING", "-s", subnet, "!", "-d", subnet, "-j", "MASQUERADE"},
	{"filter", "FORWARD", "-i", link, "-j", "ACCEPT"},
	{"filter", "FORWARD", "-o", link, "-j", "ACCEPT"},
	// A path with a smaller packet size beyond this machine is not seen by
	// containers, whose links have 1500 bytes.
	{"mangle", "FORWARD", "-i", link, "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS", "--clamp-mss-to-pmtu"},
}

// connect makes the network, after taking down what an earlier process left.
func connect() error {
	if err := disconnect(); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name},
		{"address", "add", outside + "/24", "dev", link},
		{"link", "set", link, "up"},
		{"-n", name, "address", "add", inside + "/24", "dev", "eth0"},
		{"-n", name, "link", "set", "eth0", "up"},
		{"-n", name, "link", "set", "lo", "up"},
		{"-n", name, "route", "add", "default", "via", outside},
	} {
		if err := command("ip", args...); err != nil {
			return err
		}
	}
	for _, r := range rules {
		if err := command("iptables", append([]string{"-w", "-t", r[0], "-I"}, r[1:]...)...); err != nil {
			return err
		}
	}
	// It stays on, as dockerd leaves it too: another engine may rely on it.
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// disconnect takes the network down; nothing of it needs to be there.
func disconnect() error {
	var errs []error
	for _, r := range rules {
		for command("iptables", append([]string{"-w", "-t", r[0], "-C"}, r[1:]...)...) == nil {
			if err := command("iptables", append([]string{"-w", "-t", r[0], "-D"}, r[1:]...)...); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat("/sys/class/net/" + link); err == nil {
		errs = append(errs, command("ip", "link", "del", link))
	}
	if _, err := os.Stat("/run/netns/" + name); err == nil {
		errs = append(errs, command("ip", "netns", "del", name))
	}
	return errors.Join(errs...)
}

func command(program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}
