package dashboard

import (
	"net/http"
	"strings"
	"testing"

	"millpond/internal/api"
)

func TestSwarmGraph(t *testing.T) {
	t.Parallel()
	got := get[api.Graph](t, newRig(t, nil), "/api/v1/swarm/graph")
	if len(got.Nodes) != 3 || len(got.Links) != 2 || got.Links[0] != (api.GraphLink{A: "me", B: "you", Path: "direct", RTT: 1.5}) {
		t.Errorf("%+v", got)
	}
	alone := newRig(t, func(o *Options) { o.Swarm = nil })
	w := alone.do(t, http.MethodGet, "/api/v1/swarm/graph", "", "")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "null") || strings.Count(w.Body.String(), "[]") != 3 {
		t.Errorf("in no swarm: %d: %s", w.Code, w.Body)
	}
}
