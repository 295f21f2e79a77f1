package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"millpond/e2e/internal/system"
)

// Kubectl runs kubectl as administrator and returns what it printed on standard
// output. The error has what it printed on standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.tool(ctx, "", c.binaries.Kubernetes, append([]string{"kubectl"}, args...)...)
}

// Apply makes the objects of manifests, in YAML or JSON.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.tool(ctx, manifests, c.binaries.Kubernetes, "kubectl", "apply", "-f", "-")
	return err
}

// Get decodes the JSON that `kubectl get` prints of objects.
func (c *Cluster) Get(ctx context.Context, into any, args ...string) error {
	out, err := c.Kubectl(ctx, append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Helm runs helm as administrator, as Kubectl runs kubectl.
func (c *Cluster) Helm(ctx context.Context, args ...string) (string, error) {
	return c.tool(ctx, "", c.binaries.Helm, args...)
}

// Shell runs a script as an administrator would, with kubectl at hand, as Kubectl runs
// that.
func (c *Cluster) Shell(ctx context.Context, script string) (string, error) {
	bin := filepath.Join(c.dir, "bin")
	kubectl := filepath.Join(bin, "kubectl") // the program goes by its name
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(c.binaries.Kubernetes, kubectl); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return c.tool(ctx, "", "sh", "-euc", `PATH="$0:$PATH"; `+script, bin)
}

func (c *Cluster) tool(ctx context.Context, input, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	home := filepath.Join(c.dir, "home")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "HOME="+home,
		"XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home)
	cmd.Stdin = strings.NewReader(input)
	return system.Capture(cmd)
}

// Logs is an error that has the end of each log of the cluster's parts, for
// failures.
func (c *Cluster) Logs() error {
	var errs []error
	for _, n := range c.nodes {
		logs, err := filepath.Glob(filepath.Join(n.dir, "log", "*.log"))
		errs = append(errs, err)
		for _, name := range logs {
			if b, err := os.ReadFile(name); err == nil {
				errs = append(errs, fmt.Errorf("---- %s on %s\n%s", filepath.Base(name), n.name, system.Tail(string(b))))
			}
		}
	}
	return errors.Join(errs...)
}
