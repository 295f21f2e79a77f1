package chart

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// grafana is the part of a dashboard that these tests look at.
type grafana struct {
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             datasource
		}
	}
	Panels []struct {
		ID      int
		Title   string
		Targets []struct {
			Expr       string
			Datasource datasource
		}
	}
}

type datasource struct{ UID string }

func readDashboard(t *testing.T) (string, grafana) {
	t.Helper()
	b, err := os.ReadFile(chartDir + "/dashboards/millpond.json")
	if err != nil {
		t.Fatal(err)
	}
	var g grafana
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return string(b), g
}

var (
	metric = regexp.MustCompile(`\b(millpond|process|go)_[a-z_]+`)
	part   = regexp.MustCompile(`_(bucket|sum|count)$`) // of a histogram
	label  = regexp.MustCompile(`by \((\w+)\)`)
)

// Every figure that a panel shows is one that the box tells.
func TestDashboardMetrics(t *testing.T) {
	_, g := readDashboard(t)
	told := string(busyBox(t).Get("/metrics"))
	check := func(where, expr string) {
		names := metric.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range names {
			whole := name
			if base := part.ReplaceAllString(name, ""); strings.Contains(told, "\n# TYPE "+base+" histogram\n") {
				whole = base
			}
			if !strings.Contains(told, "\n# TYPE "+whole+" ") || !regexp.MustCompile(`\n`+name+`[ {]`).MatchString(told) {
				t.Errorf("%s: the box tells no %s", where, name)
			}
			// Prometheus itself adds job and instance.
			if by := label.FindStringSubmatch(expr); by != nil && by[1] != "instance" && !regexp.MustCompile(`\n`+name+`\{([^}]*,)?`+by[1]+`=`).MatchString(told) {
				t.Errorf("%s: %s has no label %s", where, name, by[1])
			}
			if counter := whole != name || strings.Contains(told, "\n# TYPE "+name+" counter\n"); counter != regexp.MustCompile(`(rate|increase)\(`+name).MatchString(expr) {
				t.Errorf("%s: a rate is for counters, and a counter is for rates: %s", where, expr)
			}
		}
		if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
			t.Errorf("%s: brackets of %s", where, expr)
		}
	}
	for _, p := range g.Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, v := range g.Templating.List {
		if v.Type == "query" && !strings.Contains(told, "\n# TYPE "+metric.FindString(v.Definition)+" ") {
			t.Errorf("variable %s: the box tells nothing of %s", v.Name, v.Definition)
		}
	}
}

// busyBox is one of which everything was asked once: some metrics have a series for each
// host, suite or outcome.
func busyBox(t *testing.T) *box.Box {
	t.Helper()
	archive := aptest.NewArchive(aptest.NewKey("chart"))
	archive.Add(aptest.Package{Name: "tool", Version: "1.0-1", Size: 1000})
	mirror, encrypted := aptest.NewMirror(t, aptest.MirrorOptions{}), aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	mirror.Publish("/debian", archive.Publish(time.Now()))
	b := box.Start(t, "MILLPOND_SWARM=false", "MILLPOND_ALLOW_UPSTREAMS=127.0.0.1,"+encrypted.Addr(), "MILLPOND_TUNNELS="+encrypted.Addr(),
		"MILLPOND_MIRRORS="+mirror.URL("/debian")+"="+mirror.URL("/debian")+"|"+mirror.URL("/debian")+"-too")
	for _, name := range []string{"dists/stable/InRelease", "dists/stable/InRelease", "dists/none/InRelease"} {
		resp, err := http.Get(b.URL + "/" + mirror.Addr() + "/debian/" + name)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	through, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{RootCAs: encrypted.CertPool()}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(encrypted.URL("/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.Until("a request is measured", func() bool {
		return strings.Contains(string(b.Get("/metrics")), `millpond_request_duration_seconds_count{outcome="hit"}`)
	})
	return b
}

// The names, units and help of all metrics are as Prometheus wants them.
func TestPromtool(t *testing.T) {
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = bytes.NewReader(busyBox(t).Get("/metrics"))
	if said, err := check.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("promtool: %v\n%s", err, said)
	}
}

// Prometheus understands what each panel asks.
func TestDashboardQueries(t *testing.T) {
	_, g := readDashboard(t)
	fill := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__range", "1h", "$__rate_interval", "1m")
	var rules []map[string]string
	for _, p := range g.Panels {
		for _, target := range p.Targets {
			// No two rules may have the same name.
			rules = append(rules, map[string]string{"record": fmt.Sprintf("panel:query%d", len(rules)), "expr": fill.Replace(target.Expr)})
		}
	}
	file := filepath.Join(t.TempDir(), "rules.json") // JSON is YAML
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", file).CombinedOutput()
	if want := fmt.Sprintf("SUCCESS: %d rules found", len(rules)); err != nil || !strings.Contains(string(said), want) {
		t.Errorf("promtool: %v, want %q\n%s", err, want, said)
	}
}

// The dashboard works with any data source: it is chosen on the page.
func TestDashboardSource(t *testing.T) {
	_, g := readDashboard(t)
	if len(g.Panels) == 0 || g.Templating.List[0].Name != "datasource" || g.Templating.List[0].Type != "datasource" {
		t.Fatal("no variable datasource")
	}
	for _, p := range g.Panels {
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s asks data source %q", p.Title, target.Datasource.UID)
			}
		}
	}
}

func TestDashboardConfigMap(t *testing.T) {
	text, _ := readDashboard(t)
	m := the[*core.ConfigMap](t, render(t, "grafanaDashboard: {enabled: true}"), release+"-millpond-grafana")
	if m.Data["millpond.json"] != text || m.Labels["grafana_dashboard"] != "1" {
		t.Errorf("the ConfigMap with labels %v differs from dashboards/millpond.json", m.Labels)
	}
}
