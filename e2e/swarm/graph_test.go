package swarm

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
)

func graphOf(t *testing.T, b *box.Box) api.Graph {
	t.Helper()
	var g api.Graph
	body := b.Get("/api/v1/swarm/graph")
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "null") {
		t.Errorf("a list is null: %s", body)
	}
	return g
}

// TestGraph has two boxes that know a third one alone, which knows both.
func TestGraph(t *testing.T) {
	middle := box.Start(t)
	settings := []string{"MILLPOND_BOOTSTRAP=" + middle.URL, "MILLPOND_SWARM_MODE=client"} // does not look for others
	ends := []*box.Box{box.Start(t, settings...), box.Start(t, settings...)}
	middle.Until("both ends are connected", func() bool { return len(middle.Peers()) == 2 })
	for _, looker := range []*box.Box{ends[0], middle} {
		var g api.Graph
		looker.Until("each box has told its links", func() bool {
			g = graphOf(t, looker)
			return len(g.Nodes) == 3 && len(g.Links) == 2 && len(g.Silent) == 0
		})
		hub := ends[0].Peers()[0].ID
		for _, n := range g.Nodes {
			connected := !n.Self && (looker == middle || n.ID == hub)
			if n.Self && (n.ID == hub) != (looker == middle) || n.Connected != connected ||
				n.Nearby == n.Self || strings.HasPrefix(n.Agent, "millpond/") != connected {
				t.Errorf("node %+v", n)
			}
		}
		for _, l := range g.Links {
			if l.A >= l.B || l.A != hub && l.B != hub || l.Path != "direct" || l.RTT <= 0 {
				t.Errorf("link %+v with the middle at %s", l, hub)
			}
		}
		if g.Cut || time.Since(g.Asked) > time.Minute {
			t.Errorf("cut %t, asked %v", g.Cut, g.Asked)
		}
	}
	// A box that leaves is drawn until the others are asked again.
	ends[1].Stop()
	ends[0].Until("the box that left is not drawn", func() bool {
		g := graphOf(t, ends[0])
		return len(g.Nodes) == 2 && len(g.Links) == 1
	})
}

func TestGraphOfNoSwarm(t *testing.T) {
	alone := box.Start(t, "MILLPOND_SWARM=false")
	if g := graphOf(t, alone); len(g.Nodes) != 0 || len(g.Links) != 0 || len(g.Silent) != 0 || g.Cut {
		t.Errorf("%+v", g)
	}
}
