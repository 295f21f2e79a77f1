package chart

import (
	"context"
	"maps"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/engine"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

// cluster answers the chart's look-ups from the objects that it holds.
type cluster struct{ *fake.FakeDynamicClient }

func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	v, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, false, err
	}
	return c.Resource(v.WithResource(strings.ToLower(kind) + "s")), true, nil
}

// upgrade renders the chart against a cluster.
func upgrade(t *testing.T, c cluster, text string) (objects, error) {
	t.Helper()
	v, err := renderValues(t, text)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := engine.RenderWithClientProvider(mustLoad(t), v, c)
	if err != nil {
		return nil, err
	}
	return decode(t, rendered), nil
}

const keySecret = release + "-millpond-swarm-key"

// A key is made once: whatever a later upgrade changes, it stays.
func TestKeyIsKept(t *testing.T) {
	first, err := upgrade(t, cluster{fake.NewSimpleDynamicClient(scheme)}, "")
	if err != nil {
		t.Fatal(err)
	}
	made := the[*core.Secret](t, first, keySecret)
	if made.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("an uninstallation would delete the key, which boxes elsewhere have too")
	}
	c := cluster{fake.NewSimpleDynamicClient(scheme, made)}
	for _, text := range []string{"", "replicaCount: 5", "image: {tag: 9.9.9}"} {
		later, err := upgrade(t, c, text)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(the[*core.Secret](t, later, keySecret).Data["swarm.key"]), string(made.Data["swarm.key"]); got != want {
			t.Errorf("values %q: another key than before", text)
		}
	}
}

// Installations in different clusters have different keys.
func TestKeysAreRandom(t *testing.T) {
	seen := make(map[string]bool)
	for range 3 {
		key := string(the[*core.Secret](t, render(t, ""), keySecret).Data["swarm.key"])
		if seen[key] {
			t.Error("two renderings make the same key")
		}
		seen[key] = true
	}
}

// Without a cluster (helm template, Argo CD) each rendering would make a key of its own: it
// fails, and what the message names renders the same each time.
func TestWithoutCluster(t *testing.T) {
	template := func(text string) (map[string]string, error) {
		t.Helper()
		v, err := renderValues(t, text)
		if err != nil {
			t.Fatal(err)
		}
		return engine.Render(mustLoad(t), v)
	}
	for _, text := range []string{"", "kind: DaemonSet", "image: {tag: 9.9.9}"} {
		_, err := template(text)
		if err == nil {
			t.Errorf("values %q: a key that no other rendering has", text)
			continue
		}
		for _, want := range []string{"swarm.key.existingSecret", "swarm.key.value", "swarm.key.enabled=false", "millpond swarm-key"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("values %q: the message does not name %s: %v", text, want, err)
			}
		}
	}
	given := "swarm: {key: {value: \"/key/swarm/psk/1.0.0/\\n/base16/\\n" + strings.Repeat("0f", 32) + "\\n\"}}"
	for _, text := range []string{given, "swarm: {key: {existingSecret: ours}}", "swarm: {key: {enabled: false}}", "swarm: {enabled: false}"} {
		first, err := template(text)
		if err != nil {
			t.Fatalf("values %q: %v", text, err)
		}
		second, err := template(text)
		if err != nil || !maps.Equal(first, second) {
			t.Errorf("values %q: two renderings differ (%v)", text, err)
		}
	}
	key := string(the[*core.Secret](t, render(t, given), keySecret).Data["swarm.key"])
	if !strings.HasSuffix(key, strings.Repeat("0f", 32)+"\n") {
		t.Errorf("a key was given, got %q", key)
	}
}

// A Secret that lost its key is no reason to make another: the replicas would
// part from the boxes that have the old one.
func TestLostKey(t *testing.T) {
	for name, data := range map[string]map[string][]byte{"empty": nil, "another name": {"key": []byte("x")}} {
		t.Run(name, func(t *testing.T) {
			s := &core.Secret{ObjectMeta: meta.ObjectMeta{Name: keySecret, Namespace: namespace}, Data: data}
			_, err := upgrade(t, cluster{fake.NewSimpleDynamicClient(scheme, s)}, "")
			if err == nil || !strings.Contains(err.Error(), "Secret "+keySecret+" has no swarm.key") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The fake cluster holds what it was given, or the tests above prove nothing.
func TestFakeCluster(t *testing.T) {
	s := &core.Secret{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta.ObjectMeta{Name: "a", Namespace: namespace}}
	client, _, err := cluster{fake.NewSimpleDynamicClient(scheme, s)}.GetClientFor("v1", "Secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Namespace(namespace).Get(context.Background(), "a", meta.GetOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A swarm without key has no Secret, and neither has one whose key is yours.
func TestNoKey(t *testing.T) {
	for _, text := range []string{"swarm: {enabled: false}", "swarm: {key: {enabled: false}}", "swarm: {key: {existingSecret: ours}}"} {
		if secrets := of[*core.Secret](render(t, text)); len(secrets) > 0 {
			t.Errorf("values %q: got Secrets %v", text, secrets)
		}
	}
}
