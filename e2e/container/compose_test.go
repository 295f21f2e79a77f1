package container

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// project is what docker-compose runs from files.
type project struct {
	t    *testing.T
	args []string // that name files and project
	env  []string
}

// newProject is for compose files; it ends with the test, volumes included.
func newProject(t *testing.T, name string, env []string, files ...string) *project {
	t.Helper()
	p := &project{t, []string{"-p", name}, env}
	for _, f := range files {
		p.args = append(p.args, "-f", f)
	}
	t.Cleanup(func() { p.compose("down", "-v") })
	return p
}

func (p *project) compose(args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 5*time.Minute)
	defer cancel()
	cmd := docker.Command(ctx, "docker-compose", append(p.args, args...)...)
	cmd.Env = append(cmd.Env, p.env...)
	out, err := docker.Run(cmd)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// box is the instance of a service.
func (p *project) box(service string) *instance {
	p.t.Helper()
	b := &instance{t: p.t, id: p.compose("ps", "-q", service)}
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", service, b.logs())
		}
	})
	b.awaitReady()
	return b
}

// override is a compose file that a test adds.
func override(t *testing.T, dir, text string) string {
	t.Helper()
	name := filepath.Join(dir, "override.yml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCompose starts the box as the README says, has a client install, and
// starts it again on what it kept.
func TestCompose(t *testing.T) {
	s := newSite(t, map[string]int{"some": 1 << 20})
	host, _, _ := strings.Cut(s.mirror.Addr(), ":")
	env := append(slices.Clone(stamps), "MILLPOND_ALLOW_UPSTREAMS="+s.mirror.Addr(), "MILLPOND_TRUST_HOSTS="+host)
	p := newProject(t, "office", env, root+"/docker-compose.yml")
	p.compose("up", "-d", "--build")
	b := p.box("millpond")
	confined(t, b)
	if limit := b.state("{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.Config.StopTimeout}}"); limit != "1073741824 unless-stopped 30" {
		t.Errorf("memory, restart, stop: %s", limit)
	}
	client := s.client("bridge", "http://"+docker.IP+":3142")
	client.sh("apt-get update; apt-get install -y some")
	p.compose("stop")
	if code := b.state("{{.State.ExitCode}}"); code != "0" {
		t.Errorf("exit code %s", code)
	}
	s.mirror.Down()
	p.compose("up", "-d")
	s.fetch(p.box("millpond"), "some")
}

// prometheus stands in for the image of that name, which cannot be had: Debian's
// program with the same entry point, arguments and user.
const prometheus = `
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* && \
	mkdir -p /prometheus && chown nobody:nogroup /prometheus
USER nobody
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
`

// TestMonitoring asks a real Prometheus what each panel of the dashboard asks.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	const dir = root + "/deploy/docker/monitoring"
	if err := docker.Derive(t.Context(), "prom/prometheus:v3.5.0", t.TempDir(), prometheus); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, map[string]int{"some": 1 << 20})
	env := []string{"GRAFANA_PASSWORD=secret", "MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr()}
	ports := override(t, t.TempDir(), "services: {millpond: {ports: [3142]}, prometheus: {ports: [9090]}}\n")
	p := newProject(t, "monitoring", env, dir+"/docker-compose.yml", ports)
	p.compose("config", "-q")
	p.compose("up", "-d", "millpond", "prometheus")
	b := p.box("millpond")
	confined(t, b)
	s.learn(b)
	s.fetch(b, "some", "some")
	address, _, _ := strings.Cut(must(t, "port", p.compose("ps", "-q", "prometheus"), "9090/tcp"), "\n")
	_, port, _ := strings.Cut(address, ":")
	for _, panel := range panels(t, root+"/deploy/helm/millpond/dashboards/millpond.json") {
		// Rates need two scrapes.
		for _, query := range panel.queries {
			if quiet.MatchString(query) {
				continue
			}
			b.until(panel.title+" has samples for "+query, func() bool {
				return samples(t, "http://"+docker.IP+":"+port, query) > 0
			})
		}
	}
}

// quiet are the metrics that one box without MILLPOND_MIRRORS and tunnels does not tell. That a box can tell them is tested with the chart.
var quiet = regexp.MustCompile("millpond_(mirror_up|tunnel_host)")

// panel is one of a dashboard, with the queries that Grafana would send.
type panel struct {
	title   string
	queries []string
}

func panels(t *testing.T, file string) (all []panel) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	b, err := os.ReadFile(file)
	if err := errors.Join(err, json.Unmarshal(b, &dashboard)); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__range", "1h", "$__rate_interval", "1m")
	for _, p := range dashboard.Panels {
		one := panel{title: p.Title}
		for _, target := range p.Targets {
			one.queries = append(one.queries, fill.Replace(target.Expr))
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no panels", file)
	}
	return all
}

// samples is how many a query returns now.
func samples(t *testing.T, prometheus, query string) int {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	resp, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0 // it is starting
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0
	}
	if answer.Status == "error" {
		t.Fatalf("%s: %s", query, answer.Error)
	}
	return len(answer.Data.Result)
}
