package swarm

import (
	"slices"
	"strings"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"millpond/internal/peer"
)

// PeerInfo is what this box knows about a neighbour.
type PeerInfo struct {
	ID, Addr, Agent string
	Path            string // "direct" or "relayed"
	Nearby          bool   // of this site, as far as the connection shows
	Kind            peer.Kind
	RTT             time.Duration
	Taken, Given    int64 // bytes
	Held            int64 // entries of its inventory
	Score           float64
	BannedUntil     time.Time
	LastFault       string
	Since           time.Time
}

// Peers lists the connected boxes in the order of their IDs.
func (s *Swarm) Peers() []PeerInfo {
	var list []PeerInfo
	for _, id := range s.boxes.ids() {
		info := PeerInfo{
			ID:     id.String(),
			Addr:   s.address(id),
			Path:   "direct",
			Nearby: s.nearby(id),
			Kind:   s.kind(id),
			RTT:    s.rtts.of(id),
			Held:   s.inventories.held(id),
			Since:  s.boxes.connectedSince(id),
			Agent:  s.agent(id),
			Score:  s.reputation.Score(id.String()),

			BannedUntil: s.reputation.BannedUntil(id.String()),
			LastFault:   s.reputation.LastFault(id.String()),
		}
		if s.direct(id) == nil {
			info.Path = "relayed"
		}
		info.Taken, info.Given = s.transfers.sums(id)
		list = append(list, info)
	}
	return list
}

// maxAgent is in bytes; ours are half as long.
const maxAgent = 64

// agent returns the program and version that id reports; empty if it reports
// none.
func (s *Swarm) agent(id p2p.ID) string {
	said, err := s.host.Peerstore().Get(id, "AgentVersion")
	if err != nil {
		return ""
	}
	agent, _ := said.(string)
	return strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
}

// Identity is this box's peer ID and the addresses at which it can be dialled.
type Identity struct {
	ID    string
	Addrs []string // multiaddrs with /p2p/ID
}

// Identity returns the current identity; addresses change.
func (s *Swarm) Identity() Identity {
	identity := Identity{ID: s.self().String()}
	addrs, err := p2p.AddrInfoToP2pAddrs(&p2p.AddrInfo{ID: s.self(), Addrs: s.host.Addrs()})
	if err != nil {
		return identity // only for an empty ID
	}
	for _, a := range addrs {
		identity.Addrs = append(identity.Addrs, a.String())
	}
	return identity
}

// Status describes this box's own part in the swarm.
type Status struct {
	Identity
	Private               bool   // has members only
	Mode                  Mode   // as it is now: Server or Client
	Reachability          string // "public", "private" or "unknown"
	Neighbours            int
	Routing               int   // peers in the DHT's routing table
	Records               int64 // provider records kept, own ones included, as counted within the last 10 min
	Announced, ToAnnounce int64 // of all blobs to announce, those whose records are out
	LastAnnounce          time.Time
	Banned                int
}

// Status returns figures from memory; it does not block.
func (s *Swarm) Status() Status {
	status := Status{
		Identity:     s.Identity(),
		Private:      s.private(),
		Mode:         Client,
		Reachability: s.reachability.String(),
		Neighbours:   s.boxes.count(),
		Routing:      s.dht.RoutingTable().Size(),
		Records:      s.records.n.Load(),
		Banned:       s.reputation.Bans(),
	}
	serving := func(p protocol.ID) bool { return strings.HasPrefix(string(p), string(dhtPrefix(s.tag))+"/") }
	if slices.ContainsFunc(s.host.Mux().Protocols(), serving) {
		status.Mode = Server
	}
	status.Announced, status.ToAnnounce, status.LastAnnounce = s.announcer.progress()
	return status
}
