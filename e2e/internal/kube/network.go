package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"millpond/e2e/internal/system"
)

// The nodes' network: a bridge on this machine, which forwards what pods send
// to the mirror, and has routes to the pods.
const (
	bridge    = "mpcluster"
	controlIP = "10.234.0.11"
	nodeNet   = "10.234.0.0/24"
)

// Gateway is this machine as nodes and pods see it, for servers of a test.
const Gateway = "10.234.0.1"

var rules = system.Rules{
	{"nat", "POSTROUTING", "-s", nodeNet, "!", "-o", bridge, "-j", "MASQUERADE"},
	{"nat", "POSTROUTING", "-s", podNet, "!", "-o", bridge, "-j", "MASQUERADE"},
	{"filter", "FORWARD", "-i", bridge, "-j", "ACCEPT"},
	{"filter", "FORWARD", "-o", bridge, "-j", "ACCEPT"},
	// A path with a smaller packet size beyond this machine is not seen by
	// pods, whose links have 1500 bytes.
	{"mangle", "FORWARD", "-i", bridge, "!", "-o", bridge, "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS", "--clamp-mss-to-pmtu"},
}

// isolation takes the way out of the nodes' network, and nothing within it.
var isolation = system.Rules{{"filter", "FORWARD", "-i", bridge, "!", "-o", bridge, "-j", "REJECT"}}

// CutOff leaves nodes and pods no way to anywhere but each other and this machine.
func (c *Cluster) CutOff() error { return isolation.Insert() }

// connect makes the bridge and two nodes on it, after taking away what a killed
// test left.
func (c *Cluster) connect(ctx context.Context) error {
	if err := disconnect(); err != nil {
		return err
	}
	if err := system.RunAll(
		[]string{"ip", "link", "add", bridge, "type", "bridge"},
		[]string{"ip", "address", "add", Gateway + "/24", "dev", bridge},
		[]string{"ip", "link", "set", bridge, "up"},
	); err != nil {
		return err
	}
	if err := rules.Insert(); err != nil {
		return err
	}
	first := netip.MustParseAddr(controlIP)
	for i, ip := 1, first; i <= 2; i, ip = i+1, ip.Next() {
		n, err := newNode(ctx, c.dir, i, ip.String())
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
		if err := c.plug(n); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		for _, other := range c.nodes {
			if other == n {
				continue
			}
			if err := n.run(ctx, "ip", "route", "add", other.pods, "via", other.ip); err != nil {
				return err
			}
		}
	}
	return nil
}

// plug joins a node to the bridge.
func (c *Cluster) plug(n *node) error {
	link := bridge + strings.TrimPrefix(n.name, "node")
	in := func(args ...string) []string { return append(n.enter(), args...) }
	return system.RunAll(
		[]string{"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(n.init.Process.Pid)},
		[]string{"ip", "link", "set", link, "master", bridge, "up"},
		in("ip", "link", "set", "lo", "up"),
		in("ip", "address", "add", n.ip+"/24", "dev", "eth0"),
		in("ip", "link", "set", "eth0", "up"),
		in("ip", "route", "add", "default", "via", Gateway),
		in("sysctl", "-qw", "net.ipv4.ip_forward=1"),
		[]string{"ip", "route", "add", n.pods, "via", n.ip},
	)
}

// disconnect takes the network away; nothing of it needs to be there.
func disconnect() error {
	errs := []error{isolation.Delete(), rules.Delete()}
	links, err := filepath.Glob("/sys/class/net/" + bridge + "*")
	errs = append(errs, err)
	for _, l := range links {
		// A link whose other end goes with its node may go meanwhile.
		if err := system.Run("ip", "link", "del", filepath.Base(l)); err != nil {
			if _, gone := os.Stat(l); gone == nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
