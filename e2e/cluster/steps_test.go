package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
)

// install installs the chart with what a site would set, and waits for the
// replicas to find each other.
func (s *site) install(t *testing.T) {
	if _, err := s.Kubectl(t.Context(), "run", "refused", "-n", namespace, "--image="+debian); err == nil {
		t.Error("the namespace takes a pod below the restricted level")
	}
	began := time.Now()
	s.helm(t, append([]string{"install", release, chart, "-n", namespace, "--wait", "--timeout", "3m"}, values(older)...)...)
	t.Logf("%d replicas were ready %v after helm install", replicas, time.Since(began).Round(100*time.Millisecond))
	all := s.settled(t, replicas)
	t.Logf("and connected after %v", time.Since(began).Round(100*time.Millisecond))
	nodes := map[string]bool{}
	for _, r := range all {
		nodes[r.node] = true
	}
	if len(nodes) != len(s.Nodes()) {
		t.Errorf("the replicas are on %d of %d nodes", len(nodes), len(s.Nodes()))
	}
	if s.swarmKey(t) == "" {
		t.Error("the chart made no swarm key")
	}
}

// values are the settings of the release in one of the image's versions.
func values(version string, more ...string) []string {
	all := append([]string{
		"replicaCount=" + fmt.Sprint(replicas), "image.repository=" + image, "image.tag=" + version, "image.pullPolicy=Never",
		"cacheSize=20GB", "networkPolicy.enabled=true", "adminToken.value=" + adminToken, "aptConfig.namespaces={" + clients + "}",
	}, more...)
	var args []string
	for _, v := range all {
		args = append(args, "--set", v)
	}
	return args
}

func (s *site) swarmKey(t *testing.T) string {
	t.Helper()
	return s.kubectl(t, "get", "secret", release+"-swarm-key", "-n", namespace, "-o", `jsonpath={.data.swarm\.key}`)
}

// flashCrowd has clients on all nodes want the same at the same time: each byte
// leaves the mirror once.
func (s *site) flashCrowd(t *testing.T) {
	names := s.startClients(t, 6, release+"-apt")
	all := s.settled(t, replicas)
	for name, size := range s.workingSet(t, namespace, replicas) {
		t.Logf("idle memory of %s: %.1f MiB", name, float64(size)/(1<<20))
	}

	// An InRelease has no digest to be known by: each replica fetches its own.
	heads := func() int64 { return (replicas - 1) * s.size(t, names[0], "/var/lib/apt/lists/*InRelease") }
	none := func() int64 { return 0 }
	for _, phase := range []struct {
		what, script string
		more         func() int64 // that the mirror may send besides
	}{
		{"apt-get update", "apt-get -q update", heads},
		{"apt-get install", "DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends jq less hello >/dev/null; jq --version; hello", none},
		{"downloading compilers", "apt-get -q install -y --download-only --no-install-recommends gcc g++ make >/dev/null", none},
	} {
		client0, mirror0, peers0 := sums(t, all)
		began := time.Now()
		s.everywhere(t, names, phase.script)
		took := time.Since(began).Round(100 * time.Millisecond)
		client, mirror, peers := sums(t, all)
		unique, mirror, more := (client-client0)/int64(len(names)), mirror-mirror0, phase.more()
		t.Logf("%s, %d clients in %v: %.2f MB each, %.2f MB from the mirror (at most %.2f of it more heads), %.2f MB between replicas",
			phase.what, len(names), took, mb(unique), mb(mirror), mb(more), mb(peers-peers0))
		if unique < 100_000 {
			t.Errorf("%s: clients got %d bytes each; they went past the boxes", phase.what, unique)
		}
		if limit := unique*105/100 + more; mirror > limit {
			t.Errorf("%s: the mirror sent %d bytes; want at most %d, each byte once", phase.what, mirror, limit)
		}
	}
	served := 0
	for _, r := range all {
		if r.summary(t).ClientBytes > 0 {
			served++
		}
	}
	t.Logf("%d of %d replicas served clients", served, len(all))
	// Each zone has a replica, and each client prefers its own zone's.
	if served < len(s.Nodes()) {
		t.Errorf("only %d replicas served clients, in %d zones", served, len(s.Nodes()))
	}
}

// size is that of files in a client.
func (s *site) size(t *testing.T, client, files string) int64 {
	t.Helper()
	out, err := s.shell(t.Context(), client, "cat "+files+" | wc -c")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if _, err := fmt.Sscan(out, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func (s *site) helmTest(t *testing.T) {
	t.Log(s.helm(t, "test", release, "-n", namespace, "--timeout", "2m"))
}

// replicaDies kills a replica at once; its successor has its volume and its
// identity.
func (s *site) replicaDies(t *testing.T) {
	before := s.settled(t, replicas)
	victim := slices.MaxFunc(before, func(a, b replica) int { return int(a.summary(t).Blobs - b.summary(t).Blobs) })
	identity, blobs := victim.identity(t), victim.summary(t).Blobs
	if blobs == 0 {
		t.Fatal("no replica holds anything")
	}
	began := time.Now()
	s.kubectl(t, "delete", "pod", victim.name, "-n", namespace, "--grace-period=0", "--force")
	poll.Must(t, time.Minute, "the pod is another", func() error {
		for _, r := range s.replicas(t, namespace) {
			if r.name == victim.name && r.uid != victim.uid {
				return nil
			}
		}
		return poll.ErrNotYet
	})
	after := s.settled(t, replicas)
	t.Logf("%s was back after %v", victim.name, time.Since(began).Round(100*time.Millisecond))
	i := slices.IndexFunc(after, func(r replica) bool { return r.name == victim.name })
	if got := after[i].identity(t); got != identity {
		t.Errorf("identity is %s after the replica was killed, want %s", got, identity)
	}
	if got := after[i].summary(t).Blobs; got < blobs {
		t.Errorf("%d blobs after the replica was killed, want at least %d", got, blobs)
	}
}

// upgradeUnderLoad changes the version, and back, while clients download; with
// no retries of apt's own, no download may fail.
func (s *site) upgradeUnderLoad(t *testing.T) {
	key, drained := s.swarmKey(t), s.failedDrains(t) // one was killed before
	names := s.startClients(t, 6, release+"-apt")
	s.everywhere(t, names, "apt-get -q update")
	var said []string
	loaded := make(chan error, 1)
	go func() {
		var err error
		said, err = s.atOnce(t.Context(), names, load)
		loaded <- err
	}()
	poll.Must(t, time.Minute, "each client has downloaded once", func() error {
		_, err := s.atOnce(t.Context(), names, "test -s /tmp/rounds")
		return err
	})
	for _, change := range []struct {
		to   string
		args []string
	}{
		{newer, append([]string{"upgrade", release, chart}, values(newer)...)},
		{older, []string{"rollback", release}},
	} {
		began := time.Now()
		s.helm(t, append(change.args, "-n", namespace, "--wait", "--timeout", "5m")...)
		all := s.settled(t, replicas)
		t.Logf("helm %s took %v", change.args[0], time.Since(began).Round(100*time.Millisecond))
		for _, r := range all {
			if !strings.HasSuffix(r.image, image+":"+change.to) {
				t.Errorf("after helm %s %s has image %s", change.args[0], r.name, r.image)
			}
		}
	}
	s.everywhere(t, names, "touch /tmp/stop")
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	downloads, failures := 0, 0
	for i, out := range said {
		downloads += strings.Count(out, "downloaded")
		if failed := strings.Count(out, "FAILED"); failed > 0 {
			failures += failed
			t.Errorf("%d downloads of %s failed:\n%s", failed, names[i], out)
		}
	}
	t.Logf("%d downloads meanwhile, %d failed", downloads, failures)
	if failed := s.failedDrains(t); failed != drained {
		t.Errorf("replicas did not drain: %s; before the upgrade: %q", failed, drained)
	}
	if s.swarmKey(t) != key {
		t.Error("the upgrade changed the swarm key")
	}
}

// failedDrains are the events of replicas that ended and could not drain before. They
// have the admin token for it.
func (s *site) failedDrains(t *testing.T) string {
	t.Helper()
	return s.kubectl(t, "get", "events", "-n", namespace, "--field-selector=reason=FailedPreStopHook", "-o", "jsonpath={.items[*].metadata.name}")
}

// load downloads until it is told to stop. Every other client is so slow that
// its download outlasts a replica's end, and that the box has written all of it
// seconds before the client has it: sockets hold up to 4 MB.
const load = `
cd /tmp
case $(hostname) in
*[13579]) limit=600 packages=cpp-12 ;;
*) limit=0 packages="g++-12 cpp-12 libc6-dev hello" ;;
esac
while [ ! -e stop ]; do
	if apt-get -q -o Acquire::Retries=0 -o Acquire::http::Dl-Limit=$limit download $packages >log 2>&1
	then echo downloaded | tee -a rounds
	else echo FAILED at $(date +%T); cat log
	fi
	rm -f *.deb
done`

// scale has more replicas and then fewer; claims stay for when they come back.
func (s *site) scale(t *testing.T) {
	for _, n := range []int{4, 2} {
		began := time.Now()
		s.helm(t, append([]string{"upgrade", release, chart, "-n", namespace, "--wait", "--timeout", "3m"}, values(newer, fmt.Sprintf("replicaCount=%d", n))...)...)
		s.settled(t, n)
		t.Logf("%d replicas after %v", n, time.Since(began).Round(100*time.Millisecond))
		claims := strings.Fields(s.kubectl(t, "get", "pvc", "-n", namespace, "-o", "name"))
		if len(claims) != 4 {
			t.Errorf("with %d replicas there are the claims %v, want 4 kept", n, claims)
		}
	}
	names := s.startClients(t, 2, release+"-apt")
	s.everywhere(t, names, "cd /tmp; apt-get -q -o Acquire::Retries=0 download hello")
}

// uninstall leaves the volumes' claims and the swarm key, and nothing else.
func (s *site) uninstall(t *testing.T, before map[string]bool) {
	s.stopClients(t)
	s.helm(t, "uninstall", release, "-n", namespace, "--wait", "--timeout", "2m")
	want := maps.Clone(before)
	want["secret/"+release+"-swarm-key"] = true
	for i := range 4 {
		want[fmt.Sprintf("persistentvolumeclaim/data-%s-%d", release, i)] = true
	}
	poll.Must(t, time.Minute, "only claims and the key are left", func() error {
		got := s.objects(t, namespace)
		if maps.Equal(got, want) {
			return nil
		}
		return fmt.Errorf("there are %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	})
	if left := s.kubectl(t, "get", "configmaps", "-n", clients, "-o", "name"); strings.Contains(left, release) {
		t.Errorf("of the clients' configuration there is still %s", left)
	}
}

// objects lists all that a namespace has, but events.
func (s *site) objects(t *testing.T, namespace string) map[string]bool {
	t.Helper()
	kinds := strings.Fields(s.kubectl(t, "api-resources", "--namespaced", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(k string) bool { return strings.HasPrefix(k, "events") })
	all := map[string]bool{}
	for name := range strings.FieldsSeq(s.kubectl(t, "get", strings.Join(kinds, ","), "-n", namespace, "-o", "name")) {
		all[name] = true
	}
	return all
}
