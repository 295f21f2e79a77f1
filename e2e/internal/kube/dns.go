package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	"millpond/e2e/internal/poll"
)

const dnsIP = "10.96.0.10"

// startDNS answers pods' queries as clusters do: with a Deployment of CoreDNS whose
// configuration is in the ConfigMap coredns, and which takes in what administrators
// write to coredns-custom. Names of the cluster come from the API, those below
// example.org from a nameserver that a test may have at [Gateway], and others from the
// machine's own resolver.
func (c *Cluster) startDNS(ctx context.Context) error {
	if err := c.Apply(ctx, fmt.Sprintf(dnsManifests, Gateway, PauseImage, c.binaries.CoreDNS, dnsIP)); err != nil {
		return err
	}
	return c.AwaitDNS(ctx)
}

// AwaitDNS returns when the restarted CoreDNS answers, and no pod from before does.
func (c *Cluster) AwaitDNS(ctx context.Context) error {
	if _, err := c.Kubectl(ctx, "rollout", "status", "deployment", "coredns", "--namespace=kube-system", "--timeout=120s"); err != nil {
		return err
	}
	return poll.Until(ctx, time.Minute, "there is one pod of CoreDNS", func() error {
		pods, err := c.Kubectl(ctx, "get", "pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns", "--output=name")
		if err == nil && len(strings.Fields(pods)) != 1 {
			err = fmt.Errorf("there are %q", pods)
		}
		return err
	})
}

// The program is the node's own file: an image would have nothing else in it.
const dnsManifests = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:coredns"}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:coredns"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}
subjects:
- {kind: ServiceAccount, name: coredns, namespace: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
      errors
      ready
      import /etc/coredns/custom/*.override
      kubernetes cluster.local
      forward example.org %s
      forward . /etc/resolv.conf
      cache 5
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: coredns
      dnsPolicy: Default
      containers:
      - name: coredns
        image: %s
        imagePullPolicy: Never
        command: [coredns, -conf, /etc/coredns/Corefile]
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        volumeMounts:
        - {name: program, mountPath: /usr/bin/coredns, readOnly: true}
        - {name: config, mountPath: /etc/coredns, readOnly: true}
        - {name: custom, mountPath: /etc/coredns/custom, readOnly: true}
      volumes:
      - {name: program, hostPath: {path: %q, type: File}}
      - {name: config, configMap: {name: coredns}}
      - {name: custom, configMap: {name: coredns-custom, optional: true}}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  selector: {k8s-app: kube-dns}
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
`
