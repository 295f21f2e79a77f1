package chart

import (
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Every pod may run in a namespace that enforces the restricted Pod Security
// level. A DaemonSet's directory of the node is the one thing that may not:
// any hostPath volume is against the level.
func TestPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	eachSet(t, func(t *testing.T, all objects) {
		for name, pod := range all.pods(t) {
			hostPath := false
			for i, v := range pod.Spec.Volumes {
				if v.HostPath != nil && strings.HasSuffix(t.Name(), "/daemonset") {
					hostPath = true
					pod.Spec.Volumes = append(pod.Spec.Volumes[:i:i], pod.Spec.Volumes[i+1:]...)
					break
				}
			}
			if name == "box" && hostPath != strings.HasSuffix(t.Name(), "/daemonset") {
				t.Errorf("a hostPath volume: %v", hostPath)
			}
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
			if !result.Allowed {
				t.Errorf("pod %s: %s", name, result.ForbiddenDetail())
			}
		}
	})
}

// What the level does not ask for.
func TestHardening(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		for name, pod := range all.pods(t) {
			if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("pod %s gets a token", name)
			}
			// Of a Service called millpond they would look like settings.
			if links := pod.Spec.EnableServiceLinks; links == nil || *links {
				t.Errorf("pod %s gets variables of Services", name)
			}
			for _, c := range pod.Spec.Containers {
				if root := c.SecurityContext.ReadOnlyRootFilesystem; root == nil || !*root {
					t.Errorf("pod %s may write to its root", name)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("pod %s has resources %v", name, c.Resources)
				}
			}
		}
		if strings.HasSuffix(t.Name(), "/openshift") {
			return
		}
		for name, pod := range all.pods(t) {
			if uid := *pod.Spec.SecurityContext.RunAsUser; uid != 65532 {
				t.Errorf("pod %s runs as %d; the image is made for 65532", name, uid)
			}
		}
		if group := all.pod(t).Spec.SecurityContext.FSGroup; group == nil || *group != 65532 {
			t.Errorf("volumes are given to group %v", group)
		}
	})
}

// Where the cluster picks users and groups, as OpenShift does, no pod names one. A number
// of that size is written in full.
func TestIdentity(t *testing.T) {
	openShift := valueSets(t)["openshift"]
	for _, text := range []string{openShift, "podSecurityContext: null", "podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}"} {
		for name, pod := range render(t, text).pods(t) {
			c := pod.Spec.SecurityContext
			if c.RunAsUser != nil || c.RunAsGroup != nil || c.FSGroup != nil {
				t.Errorf("values %q: pod %s asks for %v", text, name, c)
			}
			if c.RunAsNonRoot == nil || !*c.RunAsNonRoot {
				t.Errorf("values %q: pod %s may run as root", text, name)
			}
		}
	}
	all := render(t, "podSecurityContext: {runAsUser: 1000650000, runAsGroup: 0, fsGroup: 1000650001}")
	c := all.pod(t).Spec.SecurityContext
	if *c.RunAsUser != 1000650000 || *c.RunAsGroup != 0 || *c.FSGroup != 1000650001 {
		t.Errorf("got %v", c)
	}
}

// pods of the release: the boxes' and that of `helm test`.
func (all objects) pods(t *testing.T) map[string]core.PodTemplateSpec {
	t.Helper()
	pods := map[string]core.PodTemplateSpec{"box": all.pod(t)}
	for _, job := range of[*batch.Job](all) {
		pods[job.Name] = job.Spec.Template
	}
	if len(pods) != 2 {
		t.Fatalf("got %d pods, want the box's and the test's", len(pods))
	}
	return pods
}
