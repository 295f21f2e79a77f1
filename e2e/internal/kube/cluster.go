// Package kube runs a real Kubernetes for tests: a control plane and two nodes
// on this machine, each node with namespaces of its own for processes, mounts
// and network, so that whatever the node's parts do to "their" machine (mounts,
// interfaces, packet filter rules, files below /run and /var/lib) goes with the
// node, and nothing of it meets a Kubernetes, a containerd or a Docker engine
// that this machine may have.
//
// Kubernetes and CoreDNS are built from the Go modules in e2e/cluster and kept in
// the user's cache directory, below millpond/cluster; etcd, containerd, runc and the CNI plugins are Debian's
// (packages etcd-server, containerd, runc, containernetworking-plugins,
// iptables, iproute2; .ci/packages installs them). It needs root.
//
// It lacks what the bridge plugin and a machine of its own cannot give: network
// policies are accepted and not enforced, load balancers get no address, and
// volumes are directories that a test makes.
package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/e2e/internal/system"
)

const (
	version    = "v1.33.13"
	podNet     = "10.244.0.0/16"
	serviceNet = "10.96.0.0/16"
	apiServer  = "https://" + controlIP + ":6443"
)

// Cluster is a running Kubernetes.
type Cluster struct {
	dir      string
	binaries Binaries
	nodes    []*node
	lock     *os.File
}

// Start starts a cluster in an empty directory, and returns when its nodes are
// ready and have the images of an archive, as `docker save` writes it. One
// cluster runs at a time: Start waits for another process to stop its own, and
// clears away what a killed one left. log is told of what takes long. Stop must
// be called.
func Start(ctx context.Context, dir, images string, log func(format string, args ...any)) (*Cluster, error) {
	binaries, err := build(ctx, log)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, binaries: binaries}
	if c.lock, err = lock(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{
		c.connect, c.startControl, c.startNodes,
		func(ctx context.Context) error { return c.load(ctx, images) },
		c.awaitNodes, c.startDNS,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, c.Logs(), c.Stop())
		}
	}
	return c, nil
}

// Nodes are the nodes' names.
func (c *Cluster) Nodes() []string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.name)
	}
	return all
}

// Stop ends the nodes, with all that runs on them, and takes away what the
// cluster had on this machine. An error tells what is still there.
func (c *Cluster) Stop() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.stop())
	}
	return errors.Join(append(errs, disconnect(), c.leftovers(), c.lock.Close())...)
}

// lock waits until no other process has a cluster.
func lock() (*os.File, error) {
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return system.Lock(filepath.Join(dir, "lock"))
}

func (c *Cluster) startNodes(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := c.startNode(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// load gives the nodes images: there is no registry to pull from.
func (c *Cluster) load(ctx context.Context, images string) error {
	for _, n := range c.nodes {
		err := poll.Until(ctx, 30*time.Second, "containerd of "+n.name+" answers", func() error {
			return n.run(ctx, "ctr", "version")
		})
		if err != nil {
			return err
		}
		if err := n.run(ctx, "ctr", "--namespace", "k8s.io", "images", "import", images); err != nil {
			return err
		}
	}
	return nil
}

// awaitNodes waits for the nodes, and for the account that pods run as, which
// comes with a controller's first round.
func (c *Cluster) awaitNodes(ctx context.Context) error {
	for _, n := range c.nodes {
		err := poll.Until(ctx, time.Minute, "node "+n.name+" registers", func() error {
			_, err := c.Kubectl(ctx, "get", "node", n.name)
			return err
		})
		if err != nil {
			return err
		}
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Ready", "node", "--all", "--timeout=90s"); err != nil {
		return err
	}
	return poll.Until(ctx, time.Minute, "the default service account is there", func() error {
		_, err := c.Kubectl(ctx, "get", "serviceaccount", "default")
		return err
	})
}

// leftovers looks for what must not be there after the nodes have ended.
func (c *Cluster) leftovers() error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	errs = append(errs, err)
	if bytes.Contains(mounts, []byte(c.dir)) {
		errs = append(errs, fmt.Errorf("a mount in %s is still there", c.dir))
	}
	for _, pattern := range []string{"/sys/class/net/" + bridge + "*", "/sys/fs/cgroup/*/" + cgroupPrefix + "*"} {
		found, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, name := range found {
			errs = append(errs, fmt.Errorf("%s is still there", name))
		}
	}
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	errs = append(errs, err)
	for _, name := range cmdlines {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(c.dir)) {
			errs = append(errs, fmt.Errorf("process %s is still there: %q", filepath.Base(filepath.Dir(name)), b))
		}
	}
	return errors.Join(errs...)
}

// MakeNodeDir makes a directory on each node that belongs to a user, as an
// administrator would for pods that use directories of their nodes.
func (c *Cluster) MakeNodeDir(ctx context.Context, path string, uid int) error {
	for _, n := range c.nodes {
		if err := n.run(ctx, "install", "-d", "-m", "0700", "-o", fmt.Sprint(uid), "-g", fmt.Sprint(uid), path); err != nil {
			return err
		}
	}
	return nil
}
