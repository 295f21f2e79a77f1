package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
)

const address = release + "-millpond." + namespace + ".svc:3142"

func TestClientService(t *testing.T) {
	s := the[*core.Service](t, render(t, ""), release+"-millpond").Spec
	if s.Type != core.ServiceTypeClusterIP || *s.InternalTrafficPolicy != core.ServiceInternalTrafficPolicyCluster ||
		*s.TrafficDistribution != "PreferClose" || s.SessionAffinity != core.ServiceAffinityClientIP || *s.SessionAffinityConfig.ClientIP.TimeoutSeconds != 3600 {
		t.Errorf("by default: %+v", s)
	}
	if s.ExternalTrafficPolicy != "" {
		t.Error("the API server refuses externalTrafficPolicy for type ClusterIP")
	}
	// From outside, the box must see who asks: it admits clients by address.
	for _, kind := range []string{"NodePort", "LoadBalancer"} {
		s := the[*core.Service](t, render(t, "service: {type: "+kind+"}"), release+"-millpond").Spec
		if string(s.Type) != kind || s.ExternalTrafficPolicy != core.ServiceExternalTrafficPolicyLocal {
			t.Errorf("type %s: %+v", kind, s)
		}
	}
	s = the[*core.Service](t, render(t, valueSets(t)["bare"]), release+"-apt").Spec
	if s.TrafficDistribution != nil || s.SessionAffinity != "" {
		t.Errorf("both switched off: %+v", s)
	}
}

func TestSwarmServices(t *testing.T) {
	peers := the[*core.Service](t, render(t, ""), release+"-millpond-peers").Spec
	if !peers.PublishNotReadyAddresses {
		t.Error("replicas that start at once would not find each other")
	}
	if _, ok := of[*core.Service](render(t, ""))[release+"-millpond-swarm"]; ok {
		t.Error("the swarm is open to the outside by default")
	}
	swarm := the[*core.Service](t, render(t, "swarm: {service: {enabled: true}}"), release+"-millpond-swarm").Spec
	if swarm.Type != core.ServiceTypeLoadBalancer || swarm.ExternalTrafficPolicy != core.ServiceExternalTrafficPolicyLocal {
		t.Errorf("got %+v", swarm)
	}
	for _, service := range of[*core.Service](render(t, "swarm: {enabled: false, service: {enabled: true}}")) {
		for _, p := range service.Spec.Ports {
			if p.Name == "swarm" {
				t.Errorf("Service %s has a port of the swarm, which is off", service.Name)
			}
		}
	}
	env := render(t, "").env(t)
	if want := release + "-millpond-peers." + namespace + ".svc"; env["MILLPOND_BOOTSTRAP"] != want {
		t.Errorf("replicas look for each other at %s, want %s", env["MILLPOND_BOOTSTRAP"], want)
	}
}

// What is reached from outside the cluster is the dashboard, and not the
// clients' port, where whoever comes could use the box.
func TestDashboardOutside(t *testing.T) {
	for _, text := range []string{"ingress: {enabled: true, host: apt.example.org}", "httpRoute: {enabled: true, parentRefs: [{name: g}]}"} {
		all := render(t, text)
		if got := all.env(t)["MILLPOND_DASHBOARD_LISTEN"]; got != ":3143" {
			t.Errorf("%s: the dashboard listens on %q", text, got)
		}
		p := the[*core.Service](t, all, release+"-millpond-dashboard").Spec.Ports
		if len(p) != 1 || p[0].TargetPort.StrVal != "dashboard" {
			t.Errorf("%s: the dashboard's Service has ports %v", text, p)
		}
	}
}

func TestNetworkPolicy(t *testing.T) {
	p := the[*networking.NetworkPolicy](t, render(t, "networkPolicy: {enabled: true}"), release+"-millpond").Spec
	if len(p.PolicyTypes) != 2 || len(p.Ingress) != 2 || len(p.Egress) != 3 {
		t.Fatalf("got %+v", p)
	}
	if len(p.Ingress[0].From) != 0 || len(p.Ingress[1].From) != 1 || len(p.Egress[2].To) != 1 {
		t.Error("want clients from anywhere, and boxes from the release only")
	}
	// A rule of clients must not shut out the pod of `helm test`.
	all := render(t, "networkPolicy: {enabled: true, clients: [{ipBlock: {cidr: 10.0.0.0/8}}]}")
	p = the[*networking.NetworkPolicy](t, all, release+"-millpond").Spec
	for key, value := range p.Ingress[0].From[0].PodSelector.MatchLabels {
		if got := the[*batch.Job](t, all, release+"-millpond-test").Spec.Template.Labels[key]; got != value {
			t.Errorf("the test's pod has %s=%s, the policy wants %s", key, got, value)
		}
	}
	p = the[*networking.NetworkPolicy](t, render(t, "networkPolicy: {enabled: true}\nswarm: {service: {enabled: true}, bootstrap: [a.example.org]}"), release+"-millpond").Spec
	if len(p.Ingress[1].From) != 0 || len(p.Egress[2].To) != 0 {
		t.Error("boxes elsewhere take part and are shut out")
	}
}

// An upgrade goes replica by replica, and so does the drain of nodes.
func TestUpgrades(t *testing.T) {
	all := render(t, "replicaCount: 3")
	s := the[*apps.StatefulSet](t, all, release+"-millpond").Spec
	if *s.Replicas != 3 || s.PodManagementPolicy != apps.ParallelPodManagement || s.UpdateStrategy.Type != apps.RollingUpdateStatefulSetStrategyType || s.MinReadySeconds == 0 {
		t.Errorf("got %+v", s)
	}
	if b := the[*policy.PodDisruptionBudget](t, all, release+"-millpond").Spec; b.MaxUnavailable.IntValue() != 1 {
		t.Errorf("got %+v", b)
	}
	// Whatever changes with the chart's version would restart every pod.
	for _, value := range s.Template.Labels {
		if strings.Contains(value, mustLoad(t).Metadata.Version) {
			t.Errorf("the pods' labels %v have the chart's version", s.Template.Labels)
		}
	}
}

// The real apt reads what pods mount, and gets the Service's address from it.
func TestAptConfig(t *testing.T) {
	all := render(t, "aptConfig: {namespaces: [builds, shop]}")
	where := make(map[string]bool)
	for _, o := range all {
		m, ok := o.(*core.ConfigMap)
		if !ok || m.Name != release+"-millpond-apt" {
			continue
		}
		where[m.Namespace] = true
		file := filepath.Join(t.TempDir(), "01millpond")
		if err := os.WriteFile(file, []byte(m.Data["01millpond"]), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("apt-config", "dump", "--format", "%v", "Acquire::http::Proxy")
		cmd.Env = append(os.Environ(), "APT_CONFIG="+file)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "http://"+address {
			t.Errorf("apt reads %q (%v), want http://%s", out, err, address)
		}
	}
	if len(where) != 2 || !where["builds"] || !where["shop"] {
		t.Errorf("ConfigMaps in the namespaces %v", where)
	}
	test := the[*batch.Job](t, render(t, ""), release+"-millpond-test").Spec.Template.Spec.Containers[0]
	if test.Env[0].Value != address || test.Args[0] != "healthcheck" {
		t.Errorf("helm test asks %v", test.Env)
	}
}

// The notes have the line for clients, whatever was chosen.
func TestNotes(t *testing.T) {
	for name, text := range valueSets(t) {
		notes := files(t, text)["millpond/templates/NOTES.txt"]
		if !strings.Contains(notes, `Acquire::http::Proxy "http://`) || strings.Contains(notes, "<no value>") {
			t.Errorf("%s: got\n%s", name, notes)
		}
		if daemon := name == "daemonset"; daemon != strings.Contains(notes, "install -d -o 65532 -g 65532 /var/lib/millpond") {
			t.Errorf("%s: got\n%s", name, notes)
		}
	}
}

// Where DNS leads archives' names to the box, clients come to the ports of http and
// https, and the notes say how DNS does that.
func TestByName(t *testing.T) {
	text := `{byName: {hosts: [default, archive.example.org, "*.example.net"], resolvers: [192.0.2.53]}}`
	ports := func(text string) (all []int32) {
		for _, p := range the[*core.Service](t, render(t, text), release+"-millpond").Spec.Ports {
			if p.TargetPort.StrVal != "http" {
				t.Errorf("port %d leads to %s", p.Port, p.TargetPort.StrVal)
			}
			all = append(all, p.Port)
		}
		slices.Sort(all)
		return all
	}
	if got := ports(text); !slices.Equal(got, []int32{80, 443, 3142}) {
		t.Errorf("ports %v", got)
	}
	if got := ports(strings.Replace(text, "{byName", "{service: {port: 80}, byName", 1)); !slices.Equal(got, []int32{80, 443}) {
		t.Errorf("with service.port 80: ports %v", got)
	}
	if got := ports(""); !slices.Equal(got, []int32{3142}) {
		t.Errorf("by default: ports %v", got)
	}
	env := render(t, text).env(t)
	if env["MILLPOND_HOSTS"] != "default,archive.example.org,*.example.net" || env["MILLPOND_RESOLVER"] != "192.0.2.53" {
		t.Errorf("got %s by %s", env["MILLPOND_HOSTS"], env["MILLPOND_RESOLVER"])
	}
	notes := files(t, text)["millpond/templates/NOTES.txt"]
	_, manifest, _ := strings.Cut(notes, "<<'END'\n")
	manifest, _, _ = strings.Cut(manifest, "END\n")
	custom := the[*core.ConfigMap](t, decode(t, map[string]string{"NOTES.yaml": manifest}), "coredns-custom")
	override := custom.Data[release+"-millpond.override"]
	to := " " + release + "-millpond." + namespace + ".svc.cluster.local"
	for _, line := range []string{
		"rewrite name exact deb" + ".debian.org" + to + "\n", "rewrite name exact ports.ubuntu.com" + to + "\n", "rewrite name exact archive.example.org" + to + "\n",
		`rewrite name regex (.+)\.example\.net` + to + " answer auto\n",
		"template IN SRV deb" + ".debian.org security.debian.org archive.ubuntu.com security.ubuntu.com ports.ubuntu.com archive.example.org example.net {\n  rcode NXDOMAIN\n}\n",
	} {
		if !strings.Contains(override, line) {
			t.Errorf("the notes lack %q for CoreDNS:\n%s", line, notes)
		}
	}
	if notes := files(t, "")["millpond/templates/NOTES.txt"]; strings.Contains(notes, "coredns") {
		t.Errorf("by default:\n%s", notes)
	}
}

// The dashboard may be opened under the names that lead to it from outside, and
// whoever scrapes the metrics gives the token.
func TestDashboardAccess(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"ingress: {enabled: true, host: apt.example.org}": "apt.example.org",
		"ingress: {enabled: true, host: apt}":             "",
		"ingress: {host: apt.example.org}":                "",
		"httpRoute: {enabled: true, parentRefs: [{name: g}], hostnames: [apt.example.org, '*.apt.example.net']}": "apt.example.org,*.apt.example.net",
		"dashboard: {access: [10.0.0.0/8], token: {existingSecret: s}}":                                          "10.0.0.0/8,token:$(DASHBOARD_TOKEN)",
	} {
		if got := render(t, text).env(t)["MILLPOND_DASHBOARD_ACCESS"]; got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	all := render(t, valueSets(t)["secrets"])
	for _, v := range all.pod(t).Spec.Containers[0].Env {
		if v.Name == "DASHBOARD_TOKEN" && (v.ValueFrom.SecretKeyRef.Name != "our-readers" || v.ValueFrom.SecretKeyRef.Key != "token") {
			t.Errorf("the token is from %v", v.ValueFrom.SecretKeyRef)
		}
	}
	monitor := the[*monitoring.ServiceMonitor](t, all, "apt-proxy")
	if a := monitor.Spec.Endpoints[0].Authorization; a == nil || a.Credentials.Name != "our-readers" || a.Credentials.Key != "token" {
		t.Errorf("Prometheus gives %v", a)
	}
}
