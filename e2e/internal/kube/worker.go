package kube

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"millpond/e2e/internal/poll"
)

// PauseImage must be among the images that a cluster is started with: it holds
// a pod's namespaces, and does nothing.
const PauseImage = "docker.io/library/millpond-pause:1"

// startNode starts what makes a machine a node: containerd, kubelet and
// kube-proxy.
func (c *Cluster) startNode(ctx context.Context, n *node) error {
	network, err := n.write("cni/pods.conflist", fmt.Sprintf(cniConfig, n.pods))
	if err != nil {
		return err
	}
	config, err := n.write("containerd.toml", fmt.Sprintf(containerdConfig, PauseImage, filepath.Dir(network)))
	if err != nil {
		return err
	}
	if err := n.start("containerd", "containerd", "--config", config); err != nil {
		return err
	}
	socket := filepath.Join("/proc", fmt.Sprint(n.init.Process.Pid), "root", "run/containerd/containerd.sock")
	if err := poll.Until(ctx, 30*time.Second, "containerd of "+n.name+" listens", func() error {
		_, err := os.Stat(socket)
		return err
	}); err != nil {
		return err
	}
	config, err = n.write("kubelet.yaml", fmt.Sprintf(kubeletConfig, n.cgroup, dnsIP, resolver()))
	if err != nil {
		return err
	}
	if err := c.startPart(n, "kubelet", "--config="+config, "--kubeconfig="+c.Kubeconfig(), "--hostname-override="+n.name, "--node-ip="+n.ip); err != nil {
		return err
	}
	config, err = n.write("kube-proxy.yaml", fmt.Sprintf(proxyConfig, n.name, c.Kubeconfig(), podNet))
	if err != nil {
		return err
	}
	return c.startPart(n, "kube-proxy", "--config="+config)
}

const cniConfig = `{
	"cniVersion": "0.4.0", "name": "pods", "plugins": [
		{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
		 "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		{"type": "portmap", "capabilities": {"portMappings": true}}
	]
}
`

// Some kernels deny a process a better oom_score_adj than its parent's.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`

// The thresholds of a full disk are off: this machine's disk is not the test's
// matter.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%s
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 100Mi, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
clusterDomain: cluster.local
clusterDNS: [%s]
resolvConf: %s
`

// Limits of connection tracking are the machine's, and a namespace cannot set
// them.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: %s
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`
