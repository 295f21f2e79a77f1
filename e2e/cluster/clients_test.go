package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// pod is a client as the chart's README tells to make one: Debian with the
// ConfigMap of apt's configuration.
const pod = `---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: clients, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: %[2]s
  containers:
  - name: apt
    image: debian:bookworm-slim
    imagePullPolicy: Never
    command: [sleep, infinity]
    volumeMounts:
    - {name: apt, mountPath: /etc/apt/apt.conf.d/01millpond, subPath: 01millpond}
  volumes:
  - name: apt
    configMap: {name: %[3]s}
`

// startClients starts n clients, in turn on each node, and returns their names.
func (s *site) startClients(t *testing.T, n int, config string) []string {
	t.Helper()
	var manifests strings.Builder
	var names []string
	nodes := s.Nodes()
	for i := range n {
		name := fmt.Sprintf("client-%d", i)
		names = append(names, name)
		fmt.Fprintf(&manifests, pod, name, nodes[i%len(nodes)], config)
	}
	if err := s.Apply(t.Context(), manifests.String()); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "wait", "-n", clients, "--for=condition=Ready", "pod", "--all", "--timeout=120s")
	return names
}

// stopClients removes all clients.
func (s *site) stopClients(t *testing.T) {
	t.Helper()
	s.kubectl(t, "delete", "pods", "-n", clients, "--all", "--wait", "--timeout=60s")
}

// shell runs a script in a client and returns what it printed.
func (s *site) shell(ctx context.Context, client, script string) (string, error) {
	out, err := s.Kubectl(ctx, "exec", "-n", clients, client, "--", "sh", "-euc", script)
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", client, err, out)
	}
	return out, nil
}

// atOnce runs a script in clients at the same time.
func (s *site) atOnce(ctx context.Context, names []string, script string) ([]string, error) {
	outs, errs := make([]string, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { outs[i], errs[i] = s.shell(ctx, name, script) })
	}
	all.Wait()
	return outs, errors.Join(errs...)
}

// everywhere is atOnce, and fails the test.
func (s *site) everywhere(t *testing.T, names []string, script string) []string {
	t.Helper()
	outs, err := s.atOnce(t.Context(), names, script)
	if err != nil {
		t.Fatal(err)
	}
	return outs
}
