package main

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"millpond/internal/dashboard"
)

// places are where clients may reach this box.
func (a *Appliance) places() dashboard.Places {
	p := dashboard.Places{Interfaces: a.interfaces, Hostname: hostname()}
	_, p.Port, _ = net.SplitHostPort(a.Addr().String())
	p.PagePort = p.Port
	if page := a.config.DashboardListen; page != "" {
		_, p.PagePort, _ = net.SplitHostPort(page)
	}
	return p
}

// containerID is what a container has in place of a host name.
var containerID = regexp.MustCompile(`^[0-9a-f]{12}$`)

// hostname is the machine's own name, if it has one that others may know.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || containerID.MatchString(name) || os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return ""
	}
	return name
}

// interfaces are the addresses at which the box listens for clients.
func (a *Appliance) interfaces() (all []dashboard.Place) {
	bound := a.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	links, err := net.Interfaces()
	if err != nil || isolated(links) {
		return nil
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil || link.Flags&net.FlagUp == 0 {
			continue
		}
		for _, addr := range addrs {
			p, err := netip.ParsePrefix(addr.String())
			if ip := p.Addr().Unmap(); err == nil && (bound.IsUnspecified() || bound == ip) {
				all = append(all, dashboard.Place{Addr: ip, Interface: link.Name})
			}
		}
	}
	return all
}

// isolated reports whether the box is in a container with a network of its own, so that
// clients reach it by the addresses of its host, which it does not know. In one with the
// host's network there are the bridges of its engine.
func isolated(links []net.Interface) bool {
	container := os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		_, err := os.Stat(mark)
		container = container || err == nil
	}
	return container && !slices.ContainsFunc(links, func(l net.Interface) bool {
		return strings.HasPrefix(l.Name, "docker") || strings.HasPrefix(l.Name, "podman") || strings.HasPrefix(l.Name, "br-") || strings.HasPrefix(l.Name, "cni")
	})
}
