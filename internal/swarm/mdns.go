package swarm

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startSegment announces h by mDNS until the service is closed.
func startSegment(h host.Host, name string, found segment) (interface{ Close() error }, error) {
	announced := &announcedHost{Host: h}
	service := mdns.NewMdnsService(announced, name, found)
	if err := service.Start(); err != nil {
		return nil, err
	}
	announced.done.Store(true)
	return service, nil
}

// announcedHost has no ID once it was announced. The mDNS service asks for the ID to
// announce it, and later to leave out what has the same: a twin, which is to be found.
type announcedHost struct {
	host.Host
	done atomic.Bool
}

func (h *announcedHost) ID() p2p.ID {
	if h.done.Load() {
		return ""
	}
	return h.Host.ID()
}
