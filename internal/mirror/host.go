package mirror

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"millpond/internal/address"
)

// maxHost is the longest host taken, in bytes; names have at most 253 (RFC 1035).
const maxHost = 255

// parseHost reads a host of a setting: host, host:port, address, [address]:port.
// The host is a hostKey; port 0 is any. The error does not repeat s.
func parseHost(s string) (host string, port int, err error) {
	host, port, err = splitPort(s)
	if err != nil {
		return "", 0, err
	}
	switch a, err := netip.ParseAddr(host); {
	case err == nil && a.Zone() != "":
		return "", 0, errors.New("an address with a zone; write it without what follows the %")
	case err != nil && !isHostName(host):
		return "", 0, errors.New("want a host or an IP address, with or without a port ([address]:port with IPv6)")
	}
	return hostKey(host), port, nil
}

// splitPort splits off the port of a host, 0 if there is none. An IPv6 address may
// stand without brackets only if no port follows.
func splitPort(s string) (host string, port int, err error) {
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		if host = strings.TrimSuffix(inner, "]"); !strings.Contains(host, ":") {
			return "", 0, errors.New("brackets around something else than an IPv6 address")
		}
		return host, 0, nil
	}
	if strings.Count(s, ":") != 1 && !strings.HasPrefix(s, "[") {
		return s, 0, nil
	}
	return splitHostPort(s)
}

// splitHostPort splits host:port with a port from 1 to 65535.
func splitHostPort(hostport string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, errors.New("want host:port, with an IPv6 address in brackets")
	}
	if strings.HasPrefix(hostport, "[") != strings.Contains(host, ":") {
		return "", 0, errors.New("brackets around something else than an IPv6 address")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("the port is no number from 1 to 65535")
	}
	return host, int(n), nil
}

// isHostName takes names of letters, digits, hyphens, dots and the underscores
// that container networks have. A name whose last part is a number would be an
// address, and a malformed one.
func isHostName(s string) bool {
	s = canonical(s)
	if s == "" || len(s) > maxHost {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// canonical is the form in which names are compared: lower case, without the
// dot of a fully qualified name.
func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// hostKey is the form in which hosts are compared: names canonical,
// addresses in their one spelling, without a zone.
func hostKey(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return address.Plain(a).String()
	}
	return canonical(host)
}
