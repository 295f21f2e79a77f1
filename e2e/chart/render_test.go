package chart

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const (
	chartDir    = "../../deploy/helm/millpond"
	examplesDir = chartDir + "/examples"
	release     = "r1"
	namespace   = "apt"
)

// scheme has the kinds that the chart may make; any other is a failure.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, batch.AddToScheme, networking.AddToScheme, policy.AddToScheme,
		gateway.Install, monitoring.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// decoder refuses unknown and repeated fields.
var decoder = serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()

// installed is what Helm is given: the chart in the tree, or the archive of a release that
// MILLPOND_CHART names.
var installed = cmp.Or(os.Getenv("MILLPOND_CHART"), chartDir)

var loadChart = sync.OnceValues(func() (*chart.Chart, error) { return loader.Load(installed) })

func mustLoad(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loadChart()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values reads values as a user would write them, or those of the default if
// the text is empty.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := make(map[string]any)
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// renderValues checks values against the schema and gives them their context,
// as `helm install` does.
func renderValues(t *testing.T, text string) (common.Values, error) {
	t.Helper()
	options := common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	return util.ToRenderValues(mustLoad(t), values(t, text), options, nil)
}

// emptyCluster answers the chart's look-ups as a cluster does that has nothing: no object
// of a name, and a list without items.
var emptyCluster = template.FuncMap{"lookup": func(_, _, _, name string) map[string]any {
	if name != "" {
		return map[string]any{}
	}
	return map[string]any{"items": []any{}}
}}

// files renders the chart with values to the text of each template, for an empty cluster.
func files(t *testing.T, text string) map[string]string {
	t.Helper()
	v, err := renderValues(t, text)
	if err != nil {
		t.Fatal(err)
	}
	all, err := engine.Engine{Strict: true, CustomTemplateFuncs: emptyCluster}.RenderWithContext(context.Background(), mustLoad(t), v)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// object is what all kinds have.
type object interface {
	runtime.Object
	meta.Object
}

// objects is what a release consists of.
type objects []object

// render renders the chart with values to objects, strictly.
func render(t *testing.T, text string) objects {
	t.Helper()
	return decode(t, files(t, text))
}

func decode(t *testing.T, files map[string]string) objects {
	t.Helper()
	var all objects
	for name, content := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		documents := utilyaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(content)))
		for {
			document := make([]byte, len(content)+1)
			n, err := documents.Read(document)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			document = document[:n]
			var content any
			if err := yaml.Unmarshal(document, &content); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if content == nil {
				continue // comments alone
			}
			decoded, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			all = append(all, decoded.(object))
		}
	}
	return all
}

// of returns the objects of one kind by name.
func of[T object](all objects) map[string]T {
	found := make(map[string]T)
	for _, o := range all {
		if typed, ok := o.(T); ok {
			found[o.GetName()] = typed
		}
	}
	return found
}

// the returns the object of a kind and name.
func the[T object](t *testing.T, all objects, name string) T {
	t.Helper()
	o, ok := of[T](all)[name]
	if !ok {
		t.Fatalf("no %T %s", o, name)
	}
	return o
}

// pod returns the template of the boxes' pods.
func (all objects) pod(t *testing.T) core.PodTemplateSpec {
	t.Helper()
	for _, o := range all {
		switch o := o.(type) {
		case *apps.StatefulSet:
			return o.Spec.Template
		case *apps.DaemonSet:
			return o.Spec.Template
		}
	}
	t.Fatal("no StatefulSet and no DaemonSet")
	return core.PodTemplateSpec{}
}

// env is the environment of the box's container; where a value comes from
// elsewhere it is empty.
func (all objects) env(t *testing.T) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for _, v := range all.pod(t).Spec.Containers[0].Env {
		if _, twice := env[v.Name]; twice {
			t.Errorf("%s is set twice", v.Name)
		}
		env[v.Name] = v.Value
	}
	return env
}

// valueSets are the sets of values that whatever must always hold is tested
// with: the defaults, those of testdata/values and the chart's examples.
func valueSets(t *testing.T) map[string]string {
	t.Helper()
	sets := map[string]string{"default": ""}
	for _, dir := range []string{"testdata/values", examplesDir} {
		names, err := filepath.Glob(dir + "/*.yaml")
		if err != nil || len(names) < 5 {
			t.Fatalf("%s has %d sets (%v)", dir, len(names), err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			sets[strings.TrimSuffix(filepath.Base(name), ".yaml")] = string(b)
		}
	}
	return sets
}

// eachSet runs a test with what every set renders to.
func eachSet(t *testing.T, test func(*testing.T, objects)) {
	for name, text := range valueSets(t) {
		t.Run(name, func(t *testing.T) { test(t, render(t, text)) })
	}
}
