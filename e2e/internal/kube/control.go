package kube

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"millpond/e2e/internal/poll"
)

// Kubeconfig is the file by which an administrator reaches the cluster.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// startControl starts the control plane on the first node.
func (c *Cluster) startControl(ctx context.Context) error {
	n := c.nodes[0]
	tokens, err := n.write("tokens.csv", token+",admin,admin,system:masters\n")
	if err != nil {
		return err
	}
	accounts, err := accountsKey()
	if err != nil {
		return err
	}
	key, err := n.write("accounts.key", accounts)
	if err != nil {
		return err
	}
	if err := n.start("etcd", "etcd", "--data-dir", filepath.Join(n.dir, "etcd"), "--log-level", "warn"); err != nil {
		return err
	}
	certs := filepath.Join(n.dir, "apiserver")
	err = c.startPart(n, "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379", "--bind-address="+controlIP, "--advertise-address="+controlIP, "--cert-dir="+certs,
		"--service-cluster-ip-range="+serviceNet, "--authorization-mode=RBAC", "--token-auth-file="+tokens, "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--kubelet-preferred-address-types=InternalIP")
	if err != nil {
		return err
	}
	// The server signs its certificate itself, so that is its authority too.
	ca := filepath.Join(certs, "apiserver.crt")
	if err := os.WriteFile(c.Kubeconfig(), fmt.Appendf(nil, kubeconfig, apiServer, ca, token), 0o600); err != nil {
		return err
	}
	err = poll.Until(ctx, 90*time.Second, "the API server is ready", func() error {
		_, err := c.Kubectl(ctx, "get", "--raw", "/readyz")
		return err
	})
	if err != nil {
		return err
	}
	err = c.startPart(n, "kube-controller-manager",
		"--kubeconfig="+c.Kubeconfig(), "--leader-elect=false", "--use-service-account-credentials",
		"--service-account-private-key-file="+key, "--root-ca-file="+ca, "--service-cluster-ip-range="+serviceNet)
	if err != nil {
		return err
	}
	return c.startPart(n, "kube-scheduler", "--kubeconfig="+c.Kubeconfig(), "--leader-elect=false")
}

// startPart starts a part of Kubernetes on a node.
func (c *Cluster) startPart(n *node, part string, args ...string) error {
	return n.start(part, append([]string{c.binaries.Kubernetes, part}, args...)...)
}

// resolver is the file that names the machine's DNS servers, not a resolver on
// the machine itself, which nodes cannot reach.
func resolver() string {
	const behindStub = "/run/systemd/resolve/resolv.conf"
	if _, err := os.Stat(behindStub); err == nil {
		return behindStub
	}
	return "/etc/resolv.conf"
}

// accountsKey makes the key that tokens of service accounts are signed with.
func accountsKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), nil
}

// token is the administrator's; the API server listens on the nodes' network
// alone.
const token = "millpond-cluster-admin"

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: %q, certificate-authority: %q}
users:
- name: admin
  user: {token: %q}
contexts:
- name: test
  context: {cluster: test, user: admin}
current-context: test
`
