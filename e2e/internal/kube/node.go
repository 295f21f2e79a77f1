package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/e2e/internal/system"
)

// cgroupPrefix begins the names of the nodes' control groups.
const cgroupPrefix = "millpond-cluster-"

// initScript is a node's first process. What the node's parts keep below /run,
// /var/lib and /var/log is in the node's own directory, and the settings of the
// kernel that a kubelet insists on changing are files. It ends with its input,
// that is with the test, however that ends; the kernel then kills whatever else
// runs in the node.
const initScript = `set -eu
mount --make-rprivate /
mount -t proc none /proc
mount -t tmpfs -o mode=755 none /run
mount --bind "$1/lib" /var/lib
mount --bind "$1/log" /var/log
for name in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes; do
	file=/proc/sys/$(echo $name | tr . /)
	cat $file >"$1/$name"
	mount --bind "$1/$name" $file
done
# Volumes of pods are mounts that the node and the runtime must both see.
mount --make-rshared /
hostname "$2"
echo ready
cat >/dev/null
exit`

// node is a machine of the cluster: namespaces, and what runs in them.
type node struct {
	name   string
	ip     string
	pods   string // the range of its pods
	dir    string // what it keeps
	cgroup string // the parent of its pods' control groups

	init  *exec.Cmd
	alive io.Closer // the input of init
	parts []*exec.Cmd
}

// newNode makes a node without network and with nothing running.
func newNode(ctx context.Context, dir string, number int, ip string) (*node, error) {
	name := fmt.Sprintf("node%d", number)
	n := &node{
		name: name, ip: ip, pods: fmt.Sprintf("10.244.%d.0/24", number),
		dir: filepath.Join(dir, name), cgroup: cgroupPrefix + name,
	}
	if err := n.removeCgroups(ctx); err != nil {
		return nil, err
	}
	for _, d := range []string{"lib", "log", "etc"} {
		if err := os.MkdirAll(filepath.Join(n.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	hierarchies, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if err != nil {
		return nil, err
	}
	for _, h := range hierarchies {
		if err := os.MkdirAll(filepath.Join(filepath.Dir(h), n.cgroup), 0o755); err != nil {
			return nil, err
		}
	}
	n.init = exec.Command("/bin/sh", "-c", initScript, "init", n.dir, n.name)
	n.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	n.init.Stderr = os.Stderr
	if n.alive, err = n.init.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := n.init.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.init.Start(); err != nil {
		return nil, fmt.Errorf("making the namespaces of %s (which needs root): %w", name, err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up %s: %q, %w", name, line, err), n.stop())
	}
	return n, nil
}

// enter is how a command is run in the node.
func (n *node) enter() []string {
	return []string{"nsenter", "--target", fmt.Sprint(n.init.Process.Pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"}
}

// run runs a command in the node.
func (n *node) run(ctx context.Context, args ...string) error {
	args = append(n.enter(), args...)
	if err := system.Finish(exec.CommandContext(ctx, args[0], args[1:]...)); err != nil {
		return fmt.Errorf("on %s: %w", n.name, err)
	}
	return nil
}

// start starts a part of the node that runs until the node ends, and writes to
// a log named as the part.
func (n *node) start(part string, args ...string) error {
	log, err := os.Create(filepath.Join(n.dir, "log", part+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args = append(n.enter(), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s on %s: %w", part, n.name, err)
	}
	n.parts = append(n.parts, cmd)
	return nil
}

// write writes a file of the node's configuration and returns its name.
func (n *node) write(name, content string) (string, error) {
	path := filepath.Join(n.dir, "etc", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(content), 0o600)
}

// stop ends everything that runs in the node.
func (n *node) stop() error {
	errs := []error{n.alive.Close()}
	// The end of its input ends it, and with it the namespaces.
	if err := n.init.Wait(); err != nil {
		errs = append(errs, fmt.Errorf("%s ended with %w", n.name, err))
	}
	for _, p := range n.parts {
		// They were killed: how they ended says nothing.
		_ = p.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(append(errs, n.removeCgroups(ctx))...)
}

// removeCgroups removes the node's control groups. The kernel needs a moment
// after their last process has ended.
func (n *node) removeCgroups(ctx context.Context) error {
	return poll.Until(ctx, 20*time.Second, "the control groups of "+n.name+" go", func() error {
		groups, err := filepath.Glob("/sys/fs/cgroup/*/" + n.cgroup)
		errs := []error{err}
		for _, g := range groups {
			errs = append(errs, removeTree(g))
		}
		return errors.Join(errs...)
	})
}

// removeTree removes a control group after those in it; their files cannot be
// removed and go with them.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(dir)
}
