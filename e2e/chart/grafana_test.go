package chart

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"

	"millpond/e2e/internal/box"
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
			if !strings.Contains(told, "\n# TYPE "+name+" ") {
				t.Errorf("%s: the box tells no %s", where, name)
			}
			// Prometheus itself adds job and instance.
			if by := label.FindStringSubmatch(expr); by != nil && by[1] != "instance" && !strings.Contains(told, "\n"+name+"{"+by[1]+"=") {
				t.Errorf("%s: %s has no label %s", where, name, by[1])
			}
			if counter := strings.Contains(told, "\n# TYPE "+name+" counter\n"); counter != regexp.MustCompile(`(rate|increase)\(`+name).MatchString(expr) {
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

// busyBox is one that has asked a mirror: some metrics have a series for each.
func busyBox(t *testing.T) *box.Box {
	t.Helper()
	mirror := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(mirror.Close)
	b := box.Start(t, "MILLPOND_SWARM=false", "MILLPOND_ALLOW_UPSTREAMS=127.0.0.1")
	resp, err := http.Get(b.URL + "/" + strings.TrimPrefix(mirror.URL, "http://") + "/debian/dists/stable/InRelease")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return b
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
