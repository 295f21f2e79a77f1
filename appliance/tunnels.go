package main

import (
	"errors"
	"strconv"
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
	if on, err := strconv.ParseBool(s); err == nil {
		t := tunnels{text: strconv.FormatBool(on)}
		if on {
			t.hosts = mirror.AllHosts()
		}
		return t, nil
	}
	entries := parseList(s)
	if len(entries) == 0 {
		return tunnels{}, errors.New("an empty list; false allows no tunnels")
	}
	hosts, err := mirror.ParseHosts(entries)
	if err != nil {
		// A fault of a setting is one line.
		return tunnels{}, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return tunnels{hosts: hosts, text: strings.Join(entries, ",")}, nil
}
