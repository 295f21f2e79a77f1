package cluster

import (
	"testing"
)

// daemonSet has a box on each node, which serves the node's own pods.
func (s *site) daemonSet(t *testing.T) {
	if err := s.MakeNodeDir(t.Context(), "/var/lib/millpond", 65532); err != nil {
		t.Fatal(err)
	}
	s.helm(t, append([]string{"install", release, chart, "-n", daemonNamespace, "--wait", "--timeout", "3m"},
		values(newer, "kind=DaemonSet", "service.internalTrafficPolicy=Local", "service.trafficDistribution=")...)...)
	all := s.replicas(t, daemonNamespace)
	if len(all) != len(s.Nodes()) {
		t.Fatalf("%d boxes on %d nodes", len(all), len(s.Nodes()))
	}
	names := s.startClients(t, len(s.Nodes()), release+"-apt")
	s.everywhere(t, names, "apt-get -q update && cd /tmp && apt-get -q -o Acquire::Retries=0 download hello jq")
	for _, r := range all {
		if got := r.summary(t).ClientBytes; got < 1_000_000 {
			t.Errorf("the box on %s served %d bytes; its node's client went elsewhere", r.node, got)
		}
	}
	s.stopClients(t)
	s.helm(t, "uninstall", release, "-n", daemonNamespace, "--wait", "--timeout", "2m")
}
