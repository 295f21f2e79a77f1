package swarm

import (
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startSegment announces h by mDNS until the service is closed.
func startSegment(h host.Host, name string, found segment) (interface{ Close() error }, error) {
	service := mdns.NewMdnsService(h, name, found)
	if err := service.Start(); err != nil {
		return nil, err
	}
	return service, nil
}
