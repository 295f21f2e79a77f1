package chart

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// matches fails unless a selector takes the boxes' pods, and no other pod of
// the release.
func (all objects) matches(t *testing.T, who string, selector *meta.LabelSelector) {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	if s.Empty() || !s.Matches(labels.Set(all.pod(t).Labels)) {
		t.Errorf("%s selects %s, which are not the pods with %v", who, s, all.pod(t).Labels)
	}
	for _, job := range of[*batch.Job](all) {
		if s.Matches(labels.Set(job.Spec.Template.Labels)) {
			t.Errorf("%s selects the pod of %s", who, job.Name)
		}
	}
}

func TestSelectors(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		for _, o := range all {
			switch o := o.(type) {
			case *apps.StatefulSet:
				all.matches(t, "StatefulSet", o.Spec.Selector)
				if headless := the[*core.Service](t, all, o.Spec.ServiceName); headless.Spec.ClusterIP != "None" {
					t.Errorf("the StatefulSet's service %s is not headless", headless.Name)
				}
			case *apps.DaemonSet:
				all.matches(t, "DaemonSet", o.Spec.Selector)
			case *core.Service:
				all.matches(t, "Service "+o.Name, &meta.LabelSelector{MatchLabels: o.Spec.Selector})
			case *policy.PodDisruptionBudget:
				all.matches(t, "PodDisruptionBudget", o.Spec.Selector)
			case *networking.NetworkPolicy:
				all.matches(t, "NetworkPolicy", &o.Spec.PodSelector)
			}
		}
		pod := all.pod(t).Spec
		for _, c := range pod.TopologySpreadConstraints {
			all.matches(t, "spread over "+c.TopologyKey, c.LabelSelector)
		}
	})
}

// ports of the box's container by name.
func (all objects) ports(t *testing.T) map[string]int32 {
	t.Helper()
	ports := make(map[string]int32)
	for _, p := range all.pod(t).Spec.Containers[0].Ports {
		ports[p.Name] = p.ContainerPort
	}
	return ports
}

func TestPorts(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		ports, env := all.ports(t), all.env(t)
		listen := map[string]string{"http": env["MILLPOND_LISTEN"], "dashboard": env["MILLPOND_DASHBOARD_LISTEN"]}
		if first, _, ok := strings.Cut(env["MILLPOND_SWARM_LISTEN"], ","); ok {
			listen["swarm"] = ":" + first[strings.LastIndex(first, "/")+1:]
		}
		maps.DeleteFunc(listen, func(_, addr string) bool { return addr == "" })
		for name, addr := range listen {
			if want := ":" + strconv.Itoa(int(ports[name])); addr != want {
				t.Errorf("the box listens on %s for %s, its container has %s", addr, name, want)
			}
		}
		if len(listen) != len(ports) {
			t.Errorf("the box listens on %v, its container has %v", listen, ports)
		}
		for _, s := range of[*core.Service](all) {
			for _, p := range s.Spec.Ports {
				if _, ok := ports[p.TargetPort.StrVal]; !ok {
					t.Errorf("Service %s leads to port %s, the container has %v", s.Name, p.TargetPort.String(), ports)
				}
				if s.Spec.ClusterIP == "None" && p.Port != ports[p.TargetPort.StrVal] {
					t.Errorf("headless Service %s names port %d, which is %d", s.Name, p.Port, ports[p.TargetPort.StrVal])
				}
			}
		}
		for _, p := range of[*networking.NetworkPolicy](all) {
			for _, rule := range p.Spec.Ingress {
				for _, port := range rule.Ports {
					if _, ok := ports[port.Port.StrVal]; !ok {
						t.Errorf("the NetworkPolicy lets in to port %s, the container has %v", port.Port, ports)
					}
				}
			}
		}
	})
}

// Probes ask the port that the client Service leads to: what is ready is what
// clients reach.
func TestProbes(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		box := all.pod(t).Spec.Containers[0]
		for path, probes := range map[string][]*core.Probe{"/readyz": {box.ReadinessProbe}, "/healthz": {box.StartupProbe, box.LivenessProbe}} {
			for _, p := range probes {
				if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || p.HTTPGet.Port.StrVal != "http" {
					t.Errorf("got probe %v, want GET %s on port http", p, path)
				}
			}
		}
	})
}

// volumeFiles are where the volumes of Secrets and ConfigMaps with one file are
// mounted, and the settings that name the files.
var volumeFiles = map[string]struct{ dir, setting string }{
	"swarm-key":   {"/etc/millpond/", "MILLPOND_SWARM_KEY_FILE"},
	"admin-token": {"/etc/millpond-admin/", "MILLPOND_ADMIN_TOKEN_FILE"},
	"logins":      {"/etc/millpond-logins/", "MILLPOND_AUTH_FILE"},
	"tls":         {"/etc/millpond-tls/", "MILLPOND_TLS_CERT"},
	// Which Go reads beside the image's own directory of authorities.
	"certificates": {"/etc/millpond-certificates/", "SSL_CERT_FILE"},
}

// What mounts, references and annotations name exists, here or as the values
// say.
func TestReferences(t *testing.T) {
	foreign := []string{"our-authorities", "archive-keys", "more-keys", "our-swarm", "our-admin", "our-readers", "our-token", "our-logins", "our-proxy", "our-tls"}
	eachSet(t, func(t *testing.T, all objects) {
		pod := all.pod(t).Spec
		secret := func(name, key string) {
			if slices.Contains(foreign, name) {
				return
			}
			if _, ok := the[*core.Secret](t, all, name).Data[key]; !ok {
				t.Errorf("Secret %s has no %s", name, key)
			}
		}
		volumes := make(map[string]bool)
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
			if _, own := volumeFiles[v.Name]; !own {
				continue // a node's directory, the keyrings', or the values' own
			}
			var items []core.KeyToPath
			switch {
			case v.Secret != nil:
				items = v.Secret.Items
				secret(v.Secret.SecretName, items[0].Key)
			case v.ConfigMap != nil:
				items = v.ConfigMap.Items
				if v.ConfigMap.Name != "our-authorities" {
					t.Errorf("volume %s is of ConfigMap %s", v.Name, v.ConfigMap.Name)
				}
			default:
				continue
			}
			file := volumeFiles[v.Name]
			var files []string
			for _, item := range items {
				files = append(files, file.dir+item.Path)
			}
			if at := strings.Join(files, ","); at != all.env(t)[file.setting] {
				t.Errorf("%s is at %s, the box reads %s", v.Name, at, all.env(t)[file.setting])
			}
		}
		for _, s := range of[*apps.StatefulSet](all) {
			for _, claim := range s.Spec.VolumeClaimTemplates {
				volumes[claim.Name] = true
			}
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("mount %s is of no volume", m.Name)
			}
			if file, ok := volumeFiles[m.Name]; ok && m.MountPath+"/" != file.dir {
				t.Errorf("volume %s is at %s, want %s", m.Name, m.MountPath, file.dir)
			}
			delete(volumes, m.Name)
		}
		if len(volumes) > 0 {
			t.Errorf("volumes that nobody mounts: %v", volumes)
		}
		for _, e := range pod.Containers[0].Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				secret(e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
			}
		}
		if pod.ServiceAccountName != "default" {
			the[*core.ServiceAccount](t, all, pod.ServiceAccountName)
		}
		backend := func(name string) *core.Service { return the[*core.Service](t, all, name) }
		for _, i := range of[*networking.Ingress](all) {
			b := i.Spec.Rules[0].HTTP.Paths[0].Backend.Service
			if p := backend(b.Name).Spec.Ports[0]; p.Name != b.Port.Name || p.TargetPort.StrVal != "dashboard" {
				t.Errorf("the Ingress leads to %v of %s", p, b.Name)
			}
		}
		for _, r := range of[*gateway.HTTPRoute](all) {
			b := r.Spec.Rules[0].BackendRefs[0]
			if p := backend(string(b.Name)).Spec.Ports[0]; p.Port != *b.Port || p.TargetPort.StrVal != "dashboard" {
				t.Errorf("the HTTPRoute leads to %v of %s", p, b.Name)
			}
		}
	})
}

// A monitor takes each replica once.
func TestServiceMonitor(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		for _, m := range of[*monitoring.ServiceMonitor](all) {
			s, err := meta.LabelSelectorAsSelector(&m.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, service := range of[*core.Service](all) {
				if s.Matches(labels.Set(service.Labels)) {
					found = append(found, service.Name)
					if !slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == m.Spec.Endpoints[0].Port }) {
						t.Errorf("Service %s has no port %s", service.Name, m.Spec.Endpoints[0].Port)
					}
				}
			}
			if len(found) != 1 {
				t.Errorf("the monitor takes the Services %v, want one", found)
			}
			if _, own := all.ports(t)["dashboard"]; own != (m.Spec.Endpoints[0].Port == "dashboard") {
				t.Errorf("the monitor asks port %s", m.Spec.Endpoints[0].Port)
			}
		}
	})
}

// Names fit however long a release is called, with what controllers append.
func TestNames(t *testing.T) {
	long := strings.Repeat("long-", 20)
	for _, text := range []string{"", "fullnameOverride: " + long + "x", "nameOverride: " + long + "x"} {
		text += "\nswarm: {service: {enabled: true}}\ngrafanaDashboard: {enabled: true}\ndashboard: {ownPort: true}\nadminToken: {value: x}"
		all := render(t, text)
		kinds := make(map[string]bool)
		for _, o := range all {
			if faults := validation.IsDNS1123Label(o.GetName()); len(faults) > 0 {
				t.Errorf("%T %s: %v", o, o.GetName(), faults)
			}
			if s, ok := o.(*apps.StatefulSet); ok && len(s.Name) > 63-len("-0123456789") {
				t.Errorf("%s leaves the controller no room for a revision", s.Name)
			}
			id := o.GetObjectKind().GroupVersionKind().String() + o.GetNamespace() + o.GetName()
			if kinds[id] {
				t.Errorf("%s is there twice", id)
			}
			kinds[id] = true
			if o.GetNamespace() != namespace {
				t.Errorf("%T %s is in namespace %q", o, o.GetName(), o.GetNamespace())
			}
			for key, value := range o.GetLabels() {
				if faults := validation.IsValidLabelValue(value); len(faults) > 0 {
					t.Errorf("%T %s: label %s: %v", o, o.GetName(), key, faults)
				}
			}
		}
	}
}
