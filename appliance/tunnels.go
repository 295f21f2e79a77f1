package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"millpond/internal/mirror"
)

// tunnels says where CONNECT may lead: nowhere, anywhere, or to some hosts.
type tunnels struct {
	hosts mirror.Hosts
	text  string // as it was given
}

// String implements fmt.Stringer.
func (t tunnels) String() string { return t.text }

// parseTunnels reads true, false or a list of hosts.
func parseTunnels(s string) (tunnels, error) {
	switch {
	case isYes(s):
		return tunnels{hosts: mirror.AllHosts(), text: "true"}, nil
	case isNo(s):
		return tunnels{text: "false"}, nil
	}
	entries := parseList(s)
	if len(entries) == 0 {
		return tunnels{}, errors.New("an empty list; false allows no tunnels")
	}
	for _, entry := range entries {
		if err := checkTunnel(entry); err != nil {
			return tunnels{}, fmt.Errorf("entry %.300q: %w", entry, err)
		}
	}
	hosts, err := mirror.ParseHosts(entries)
	if err != nil {
		// A fault of a setting is one line.
		return tunnels{}, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return tunnels{hosts: hosts, text: strings.Join(entries, ",")}, nil
}

// checkTunnel refuses ranges, which would allow no host that has a name, and words
// alone: more likely a misspelt true or false.
func checkTunnel(entry string) error {
	if !strings.ContainsAny(entry, ".:") {
		return errors.New("want true, false, or hosts with a dot or a port such as download.example.org")
	}
	if _, err := netip.ParsePrefix(entry); err == nil {
		return errors.New("a range; want hosts by name or address")
	}
	return nil
}
