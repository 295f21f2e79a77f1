package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

var fenced = regexp.MustCompile("(?s)\n```yaml\n(.*?)```\n")

// What the README shows works: values render, and the pod mounts what the
// chart makes.
func TestReadmeExamples(t *testing.T) {
	b, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced.FindAllStringSubmatch(string(b), -1)
	if len(blocks) < 5 {
		t.Fatalf("found only %d examples", len(blocks))
	}
	pods := 0
	for _, block := range blocks {
		text := block[1]
		if !strings.HasPrefix(text, "apiVersion:") {
			if len(render(t, text)) == 0 {
				t.Errorf("nothing comes of the values\n%s", text)
			}
			continue
		}
		for _, pod := range of[*core.Pod](decode(t, map[string]string{"README.md.yaml": text})) {
			pods++
			made := the[*core.ConfigMap](t, render(t, "fullnameOverride: millpond\naptConfig: {namespaces: [builds]}"), pod.Spec.Volumes[0].ConfigMap.Name)
			mount := pod.Spec.Containers[0].VolumeMounts[0]
			if _, ok := made.Data[mount.SubPath]; !ok || made.Namespace != pod.Namespace || mount.MountPath != "/etc/apt/apt.conf.d/"+mount.SubPath {
				t.Errorf("the pod mounts %+v of %s, which has %v", mount, made.Name, made.Data)
			}
		}
	}
	if pods != 1 {
		t.Errorf("got %d pods as examples, want one", pods)
	}
}

// The README has a row for each example.
func TestExamplesAreListed(t *testing.T) {
	b, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(examplesDir + "/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("examples: %q, %v", names, err)
	}
	for _, name := range names {
		if row := "| `" + filepath.Base(name) + "` | "; !strings.Contains(string(b), row) {
			t.Errorf("the README does not have %s", row)
		}
	}
}

// With the example for several zones, no zone has two replicas more than another.
func TestZones(t *testing.T) {
	spread := render(t, valueSets(t)["multi-zone"]).pod(t).Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != core.LabelTopologyZone || spread[0].MaxSkew != 1 || spread[0].WhenUnsatisfiable != core.DoNotSchedule {
		t.Errorf("got %v", spread)
	}
}
