package engine

import (
	"errors"
	"os"

	"millpond/e2e/internal/system"
)

// The engine's network: a namespace that a link joins to this machine, which
// forwards what the containers send.
const (
	name    = "millpond-engine" // of the namespace
	link    = "mpengine"        // the machine's end
	outside = "10.232.0.1"
	inside  = "10.232.0.2"
	subnet  = "10.232.0.0/24"
)

var rules = system.Rules{
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
		if err := system.Run("ip", args...); err != nil {
			return err
		}
	}
	return rules.Insert()
}

// disconnect takes the network down; nothing of it needs to be there.
func disconnect() error {
	errs := []error{rules.Delete()}
	if _, err := os.Stat("/sys/class/net/" + link); err == nil {
		errs = append(errs, system.Run("ip", "link", "del", link))
	}
	if _, err := os.Stat("/run/netns/" + name); err == nil {
		errs = append(errs, system.Run("ip", "netns", "del", name))
	}
	return errors.Join(errs...)
}
