package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"millpond/internal/mirror"
)

// defaultHosts are what the word `default` stands for in MILLPOND_HOSTS: the domains in
// which distributions have their archives, with the names of countries' mirrors
// (ftp.de.debian.org, de.archive.ubuntu.com) and of security updates.
var defaultHosts = []string{
	"*.debian.org", "*.ubuntu.com", "*.devuan.org", "*.kali.org", "*.linuxmint.com", "*.raspbian.org", "*.raspberrypi.com", "*.raspberrypi.org",
}

// parseNames reads MILLPOND_HOSTS.
func parseNames(entries []string) (mirror.Hosts, error) {
	var all []string
	for _, entry := range entries {
		if entry == "default" {
			all = append(all, defaultHosts...)
			continue
		}
		if err := checkName(entry); err != nil {
			return mirror.Hosts{}, fmt.Errorf("entry %.300q: %w", entry, err)
		}
		all = append(all, entry)
	}
	return mirror.ParseHosts(all)
}

// checkName refuses what no DNS leads to the box: addresses, and single words, most of
// which are a misspelt `default`.
func checkName(entry string) error {
	if err := checkHost(entry); err != nil {
		return err
	}
	_, rangeErr := netip.ParsePrefix(entry)
	_, addrErr := netip.ParseAddr(entry)
	switch {
	case rangeErr == nil, addrErr == nil:
		return errors.New("an address; want names, which a DNS server leads to the box")
	case strings.Contains(entry, ":"):
		return errors.New("a port; http is at port 80 and https at 443")
	case !strings.Contains(entry, "."):
		return errors.New("a name without a dot; want default, or names such as archive.example.org")
	}
	return nil
}

// checkListens checks the addresses of a list.
func checkListens(addrs []string) error {
	if len(addrs) == 0 {
		return errors.New("an empty list")
	}
	for i, addr := range addrs {
		if err := checkListen(addr); err != nil {
			return err
		}
		if slices.Contains(addrs[:i], addr) && !strings.HasSuffix(addr, ":0") {
			return fmt.Errorf("%.100q is there twice", addr)
		}
	}
	return nil
}

// isOwnName reports whether a name is the box's own: its host's, or one under which its
// page may be opened.
func (a *Appliance) isOwnName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == strings.ToLower(hostname()) || slices.Contains(a.config.access.Names, name)
}

// listensAt reports whether a connection to an address comes to this box.
func (a *Appliance) listensAt(at netip.AddrPort) bool {
	return slices.ContainsFunc(a.servers, func(s server) bool {
		l, ok := s.listener.Addr().(*net.TCPAddr)
		if !ok || l.Port != int(at.Port()) {
			return false
		}
		bound := l.AddrPort().Addr().Unmap()
		if at.Addr().IsUnspecified() { // the kernel connects to the machine itself
			return bound.IsUnspecified() || bound.IsLoopback()
		}
		return bound == at.Addr() || bound.IsUnspecified() && isOfThisMachine(at.Addr())
	})
}

func isOfThisMachine(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(own net.Addr) bool {
		p, err := netip.ParsePrefix(own.String())
		return err == nil && p.Addr().Unmap().WithZone("") == a
	})
}
