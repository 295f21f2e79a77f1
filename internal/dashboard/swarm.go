package dashboard

import (
	"context"
	"net/http"
	"time"

	"millpond/internal/api"
)

// Swarm is what the dashboard shows of the other boxes, and what an
// administrator may change.
type Swarm interface {
	Identity() api.Identity
	Peers() []api.Peer
	Status() api.Swarm
	// Graph may take 2 s: the connected boxes are asked.
	Graph() api.Graph
	Ban(id string, d time.Duration) error
	SetUploadRate(bytesPerSecond int64) // 0: no limit
}

// getIdentity is how other boxes find this one by its HTTP address.
func (d *Dashboard) getIdentity(context.Context, *none) (api.Identity, error) {
	if d.swarm == nil {
		return api.Identity{}, problem(http.StatusNotFound, "This box is in no swarm (MILLPOND_SWARM=false).")
	}
	return d.swarm.Identity(), nil
}

func (d *Dashboard) listPeers(context.Context, *none) (api.PeerList, error) {
	list := []api.Peer{}
	if d.swarm != nil {
		for _, p := range d.swarm.Peers() {
			p.GivenName = d.site.BoxName(p.ID)
			list = append(list, p)
		}
	}
	return api.PeerList{Peers: list}, nil
}

func (d *Dashboard) getSwarm(context.Context, *none) (api.Swarm, error) {
	if d.swarm == nil {
		return api.Swarm{}, nil
	}
	return d.swarm.Status(), nil
}

func (d *Dashboard) getGraph(context.Context, *none) (api.Graph, error) {
	if d.swarm == nil {
		return api.Graph{Nodes: []api.GraphNode{}, Links: []api.GraphLink{}, Asked: time.Now().UTC(), Silent: []string{}}, nil
	}
	g := d.swarm.Graph()
	for i := range g.Nodes {
		g.Nodes[i].GivenName = d.site.BoxName(g.Nodes[i].ID)
	}
	return g, nil
}
