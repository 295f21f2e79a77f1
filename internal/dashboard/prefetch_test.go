package dashboard

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/mirror"
	"millpond/internal/prefetch"
)

// ahead is a Prefetcher that answers what it is told to.
type ahead struct {
	state prefetch.State
	cost  prefetch.Figures
	err   error
	asked string
}

func (a *ahead) State() prefetch.State { return a.state }

func (a *ahead) Figures() prefetch.Figures { return a.cost }

func (a *ahead) Start(suite string) (prefetch.State, error) {
	a.asked = suite
	return a.state, a.err
}

func TestPrefetch(t *testing.T) {
	t.Parallel()
	p := &ahead{state: prefetch.State{Started: since, Running: true, Suite: "http://deb.example.org/debian/dists/trixie", Files: 3, FilesDone: 1, NoRoom: 2}}
	r := newRig(t, func(o *Options) { o.Prefetch = p })
	const path = "/api/v1/prefetch"
	const one = `{"suite": "http://deb.example.org/debian/dists/trixie"}`
	tests := []struct {
		name, body string
		err        error
		code       int
		asked      string
		says       string
	}{
		{"one suite", one, nil, http.StatusOK, p.state.Suite, `"running": true`},
		{"all suites", `{}`, nil, http.StatusOK, "", `"files_done": 1`},
		{"no body", ``, nil, http.StatusOK, "", `"files_done": 1`},
		{"a list", `[1]`, nil, http.StatusBadRequest, "", "body: expected object"},
		{"unknown suite", one, fmt.Errorf("%w: known are: http://a", prefetch.ErrUnknownSuite), http.StatusNotFound, p.state.Suite, "http://a"},
		{"running", one, prefetch.ErrRunning, http.StatusConflict, p.state.Suite, "running"},
		{"offline", one, mirror.ErrOffline, http.StatusConflict, p.state.Suite, "MILLPOND_OFFLINE"},
	}
	for _, tt := range tests {
		p.err, p.asked = tt.err, ""
		w := r.do(t, http.MethodPost, path, token, tt.body)
		if w.Code != tt.code || p.asked != tt.asked || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d, asked for %q: %s", tt.name, w.Code, p.asked, w.Body)
		}
	}
	p.asked = "nothing"
	if w := r.do(t, http.MethodPost, path, "", one); w.Code != http.StatusUnauthorized || p.asked != "nothing" {
		t.Errorf("without the token: %d, asked for %q", w.Code, p.asked)
	}
	if w := r.do(t, http.MethodGet, path, "", ""); strings.Contains(w.Body.String(), "ended") {
		t.Errorf("a running one has ended: %s", w.Body)
	}
	p.state.Running, p.state.Ended = false, since.Add(time.Minute)
	p.state.Automatic, p.state.NoBudget = true, 4
	cost := prefetch.Cost{Files: 7, FromPeers: 30, FromMirrors: 70, UsedFiles: 3, UsedBytes: 60, WastedFiles: 1, WastedBytes: 20}
	p.cost = prefetch.Figures{
		Since: since, Total: cost, Limit: 1000, Spent: 100, DayEnds: since.Add(24 * time.Hour),
		Waves: []prefetch.Wave{{ID: 2, Manual: true, Started: since.UTC(), Cost: cost, Error: "no"}},
	}
	counted := api.PrefetchCost{Files: 7, FromPeers: 30, FromMirrors: 70, UsedFiles: 3, UsedBytes: 60, WastedFiles: 1, WastedBytes: 20}
	want := api.Prefetch{
		Automatic: true, Suite: p.state.Suite, Started: timeIf(since), Ended: since.UTC().Add(time.Minute), Files: 3, FilesDone: 1, NoRoom: 2, NoBudget: 4,
		Budget: api.PrefetchBudget{Bytes: 1000, Spent: 100, Ends: since.UTC().Add(24 * time.Hour)}, Since: since.UTC(), Total: counted,
		Waves: []api.PrefetchWave{{ID: 2, Suites: []string{}, Started: since.UTC(), Cost: counted, Error: "no"}},
	}
	if got := get[api.Prefetch](t, r, path); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	metrics := r.do(t, http.MethodGet, "/metrics", "", "").Body.String()
	for _, line := range []string{
		`millpond_prefetch_bytes_total{from="peers"} 30`, `millpond_prefetch_bytes_total{from="mirror"} 70`,
		"millpond_prefetch_used_bytes_total 60", "millpond_prefetch_wasted_bytes_total 20", "millpond_prefetch_files_total 7",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %q", line)
		}
	}
}
