package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/libp2p/zeroconf/v2"
)

// advertise announces the clients' port on the network segment by mDNS
// (RFC 6763) as the service that squid-deb-proxy-client and its like look for,
// until ctx ends or the box is being taken out. A box that listens on loopback alone has
// nothing to announce.
func (a *Appliance) advertise(ctx context.Context) error {
	addr, ok := a.Addr().(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() {
		<-ctx.Done()
		return nil
	}
	name := "millpond"
	if host, err := os.Hostname(); err == nil {
		name += " on " + host
	}
	s, err := zeroconf.Register(name, "_apt_proxy._tcp", "local.", addr.Port, []string{"txtvers=1"}, nil)
	if err != nil {
		// Clients that are configured with the box's name do not need it.
		a.log.Warn("box not announced on the network segment", "err", fmt.Errorf("mDNS: %w", err))
		<-ctx.Done()
		return nil
	}
	select {
	case <-ctx.Done():
	case <-a.leaving.began:
	}
	s.Shutdown()
	<-ctx.Done()
	return nil
}
