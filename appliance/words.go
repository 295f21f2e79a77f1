package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"millpond/internal/swarm"
)

// isYes and isNo know the words for on and off.
func isYes(s string) bool { return isOneOf(s, "true", "yes", "on", "1", "t", "y") }
func isNo(s string) bool  { return isOneOf(s, "false", "no", "off", "0", "f", "n") }

func isOneOf(s string, words ...string) bool {
	return slices.Contains(words, strings.ToLower(strings.TrimSpace(s)))
}

// parseBool reads a word for on or off.
func parseBool(s string) (bool, error) {
	if !isYes(s) && !isNo(s) {
		return false, fmt.Errorf("%.40q is neither true nor false: write true, yes, on or 1; or false, no, off or 0", s)
	}
	return isYes(s), nil
}

// parseTTL reads a time.
func parseTTL(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a duration: write a number with its unit, such as 30s, 5m or 1h", s)
	}
	return d, nil
}

// parseMode parses the name of a mode in the DHT.
func parseMode(s string) (swarm.Mode, error) {
	switch m := swarm.Mode(s); m {
	case swarm.Auto, swarm.Server, swarm.Client:
		return m, nil
	}
	return "", fmt.Errorf("no such mode %q", s)
}

// checkListen checks the form of an address to listen on. Whether it is free
// shows when it is opened.
func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil && strings.Count(addr, ":") > 1:
		return errors.New("too many colons: an IPv6 address stands in brackets, as in [::1]:3142")
	case err != nil || port == "":
		return errors.New("no port: write host:port, or :3142 for all addresses of this machine")
	case strings.ContainsAny(host, "/ ,;@*="):
		return fmt.Errorf("%.40q is neither a name nor an address", host)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%.40q is not a port: write a number from 1 to 65535, or 0 for a free one", port)
	}
	return nil
}
