// Package cluster installs the chart on a real Kubernetes of two nodes and uses
// it as its users would: apt in pods, a replica that dies, an upgrade under
// load, more replicas and fewer, the end, a DaemonSet, and pods that know nothing
// of the box.
//
// `make e2e-cluster` runs it. Network policies are the one thing that it only
// sees accepted, since the nodes' network does not enforce them; see package
// kube.
package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/engine"
	"millpond/e2e/internal/kube"
	"millpond/internal/aptest"
)

const (
	chart    = "../../deploy/helm/millpond"
	image    = "millpond"
	debian   = "debian:bookworm-slim"
	release  = "millpond"
	replicas = 3
	// Versions of the image; the program is the same but for what it says it is.
	older, newer = "0.1.0", "0.2.0"

	adminToken = "correct-horse-battery-staple"
)

// site is a cluster with a namespace for the chart, under the restricted Pod
// Security level, and one for clients.
type site struct {
	*kube.Cluster
	dir        string
	archiveKey *aptest.Key // that the stock image trusts
}

func TestCluster(t *testing.T) {
	s := start(t)
	var before map[string]bool
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"install", func(t *testing.T) { before = s.objects(t, namespace); s.install(t) }},
		{"flash crowd", s.flashCrowd},
		{"helm test", s.helmTest},
		{"replica dies", s.replicaDies},
		{"upgrade under load", s.upgradeUnderLoad},
		{"scale", s.scale},
		{"uninstall", func(t *testing.T) { s.uninstall(t, before) }},
		{"daemon set", s.daemonSet},
		{"by name", s.byName},
	} {
		began := time.Now()
		ok := t.Run(step.name, step.run)
		t.Logf("%s: %v", step.name, time.Since(began).Round(100*time.Millisecond))
		if !ok {
			t.Fatalf("%s failed, and the steps after it need it", step.name)
		}
	}
}

// start starts the cluster with the images that the test uses.
func start(t *testing.T) *site {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	archive, key := filepath.Join(dir, "images.tar"), aptest.NewKey("archive")
	began := time.Now()
	if err := buildImages(ctx, archive, key); err != nil {
		t.Fatal(err)
	}
	t.Logf("the images were there after %v", time.Since(began).Round(100*time.Millisecond))
	began = time.Now()
	c, err := kube.Start(ctx, dir, archive, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a cluster of %d nodes was ready after %v", len(c.Nodes()), time.Since(began).Round(100*time.Millisecond))
	s := &site{Cluster: c, dir: dir, archiveKey: key}
	t.Cleanup(func() {
		if t.Failed() {
			s.dump(t)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.prepare(t)
	return s
}

// buildImages saves two versions of the box, the clients' images, and what holds a pod's
// namespaces.
func buildImages(ctx context.Context, archive string, key *aptest.Key) (err error) {
	e, err := engine.Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := e.Stop(); err == nil {
			err = stopped
		}
	}()
	dir := filepath.Dir(archive)
	if err := os.WriteFile(filepath.Join(dir, "archive.gpg"), key.Public(), 0o644); err != nil {
		return err
	}
	tags := []string{debian, kube.PauseImage, stock, builder}
	for _, version := range []string{older, newer} {
		tag := image + ":" + version
		if err := e.Build(ctx, "../..", tag, "--build-arg", "VERSION="+version); err != nil {
			return err
		}
		tags = append(tags, tag)
	}
	pause := "FROM " + debian + "\nENTRYPOINT [\"sleep\", \"infinity\"]\n"
	for tag, text := range map[string]string{kube.PauseImage: pause, stock: stockImage, builder: builderImage} {
		if err := e.Derive(ctx, tag, dir, text); err != nil {
			return err
		}
	}
	// buildah reads no archive of images that have layers in common.
	if err := e.Save(ctx, filepath.Join(dir, stockArchive), stock); err != nil {
		return err
	}
	return e.Save(ctx, archive, tags...)
}

// prepare makes what a cluster's administrator has made before: zones,
// namespaces and volumes.
func (s *site) prepare(t *testing.T) {
	t.Helper()
	var manifests strings.Builder
	manifests.WriteString(namespaces)
	for _, node := range s.Nodes() {
		s.kubectl(t, "label", "node", node, "topology.kubernetes.io/zone=zone-of-"+node)
		for i := range 3 {
			name := fmt.Sprintf("%s-%d", node, i)
			path := filepath.Join(s.dir, "volumes", name)
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&manifests, volume, name, path, node)
		}
	}
	if err := s.Apply(t.Context(), manifests.String()); err != nil {
		t.Fatal(err)
	}
}

// kubectl runs kubectl or fails the test.
func (s *site) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err, out)
	}
	return out
}

// helm runs helm or fails the test.
func (s *site) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.Helm(t.Context(), args...)
	if err != nil {
		t.Fatal(err, out)
	}
	return out
}

// dump logs what helps to find the cause of a failure.
func (s *site) dump(t *testing.T) {
	t.Helper()
	// The test's own context has ended.
	ctx := context.Background()
	for _, args := range [][]string{
		{"get", "all,pvc,pv,endpointslices", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"describe", "pods", "-n", namespace},
		{"logs", "-n", namespace, "-l", "app.kubernetes.io/name=millpond", "--prefix", "--tail=60"},
		{"logs", "-n", namedNamespace, "-l", "app.kubernetes.io/name=millpond", "--prefix", "--tail=60"},
		{"logs", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--prefix", "--tail=60"},
		{"logs", "-n", daemonNamespace, "-l", "app.kubernetes.io/name=millpond", "--prefix", "--tail=60"},
	} {
		out, err := s.Kubectl(ctx, args...)
		t.Logf("---- kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	t.Log(s.Logs())
}

const (
	namespace       = "millpond"
	clients         = "clients"
	daemonNamespace = "nodes"
)

// A DaemonSet's directory of the node is beyond the restricted level.
const namespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: millpond, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Namespace
metadata: {name: clients}
---
apiVersion: v1
kind: Namespace
metadata: {name: nodes}
---
apiVersion: v1
kind: Namespace
metadata: {name: named}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`

const volume = `---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  storageClassName: local
  capacity: {storage: 100Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: %s}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]
`
