package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
)

// replica is a pod of the chart's, asked at its own address, which this machine
// has a route to.
type replica struct {
	name, uid, node, ip, image string
	ready                      bool
}

// pods is the part of `kubectl get pods -o json` that the test looks at.
type pods struct {
	Items []struct {
		Metadata struct{ Name, UID string }
		Spec     struct {
			NodeName   string
			Containers []struct{ Image string }
		}
		Status struct {
			PodIP      string
			Conditions []struct{ Type, Status string }
		}
	}
}

// replicas returns the release's pods in order of name.
func (s *site) replicas(t *testing.T, namespace string) []replica {
	t.Helper()
	var found pods
	if err := s.Get(t.Context(), &found, "pods", "-n", namespace, "-l", "app.kubernetes.io/component=box"); err != nil {
		t.Fatal(err)
	}
	var all []replica
	for _, p := range found.Items {
		r := replica{name: p.Metadata.Name, uid: p.Metadata.UID, node: p.Spec.NodeName, ip: p.Status.PodIP, image: p.Spec.Containers[0].Image}
		for _, c := range p.Status.Conditions {
			r.ready = r.ready || c.Type == "Ready" && c.Status == "True"
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b replica) int { return strings.Compare(a.name, b.name) })
	return all
}

// settled waits until there are exactly n replicas, all ready, and each is
// connected with all others.
func (s *site) settled(t *testing.T, n int) []replica {
	t.Helper()
	var all []replica
	poll.Must(t, 2*time.Minute, fmt.Sprintf("%d replicas, all ready and connected", n), func() error {
		all = s.replicas(t, namespace)
		if len(all) != n {
			return fmt.Errorf("there are %d", len(all))
		}
		for _, r := range all {
			if !r.ready {
				return fmt.Errorf("%s is not ready", r.name)
			}
			var said api.PeerList
			if err := r.get("/api/v1/peers", &said); err != nil {
				return err
			}
			if len(said.Peers) != n-1 {
				return fmt.Errorf("%s is connected with %d", r.name, len(said.Peers))
			}
		}
		return nil
	})
	return all
}

// get decodes the JSON that the replica answers.
func (r replica) get(path string, into any) error {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + r.ip + ":3142" + path)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", r.name, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// identity is the replica's peer ID.
func (r replica) identity(t *testing.T) string {
	t.Helper()
	var self api.Swarm
	if err := r.get("/api/v1/swarm", &self); err != nil {
		t.Fatal(err)
	}
	if self.ID == "" {
		t.Fatalf("%s tells no identity", r.name)
	}
	return self.ID
}

// summary is what the replica counted.
func (r replica) summary(t *testing.T) api.Summary {
	t.Helper()
	var s api.Summary
	if err := r.get("/api/v1/summary", &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// sums adds the figures of replicas.
func sums(t *testing.T, all []replica) (client, mirror, peers int64) {
	t.Helper()
	for _, r := range all {
		s := r.summary(t)
		client, mirror, peers = client+s.ClientBytes, mirror+s.MirrorBytes, peers+s.PeerBytesIn
	}
	return client, mirror, peers
}

// workingSet is the memory of each pod of a namespace as its kubelet counts it,
// in bytes; a kubelet looks every ten seconds.
func (s *site) workingSet(t *testing.T, namespace string, pods int) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	poll.Must(t, 30*time.Second, "the kubelets have counted the pods' memory", func() error {
		for _, node := range s.Nodes() {
			var stats struct {
				Pods []struct {
					PodRef struct{ Name, Namespace string }
					Memory struct{ WorkingSetBytes int64 }
				}
			}
			out := s.kubectl(t, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary?only_cpu_and_memory=true")
			if err := json.Unmarshal([]byte(out), &stats); err != nil {
				return err
			}
			for _, p := range stats.Pods {
				if p.PodRef.Namespace == namespace && p.Memory.WorkingSetBytes > 0 {
					all[p.PodRef.Name] = p.Memory.WorkingSetBytes
				}
			}
		}
		if len(all) < pods {
			return fmt.Errorf("of %v", all)
		}
		return nil
	})
	return all
}
