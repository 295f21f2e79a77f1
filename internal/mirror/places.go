package mirror

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"millpond/internal/address"
)

// Hosts is a list of hosts, some of them with a port. The zero value lists none.
type Hosts struct {
	all    bool
	list   []place
	ranges []netip.Prefix
}

// AllHosts returns the list of every host.
func AllHosts() Hosts { return Hosts{all: true} }

// ParseHosts reads a list of hosts:
//
//   - "download.example.org": any port there;
//   - "download.example.org:8443", "10.1.2.3:8443", "[fd00::1]:8443": this port;
//   - "*.example.org": every name that ends so;
//   - "10.0.0.0/8", "fd00::/8": hosts that a URL names by an address in this range.
//
// The error names every malformed entry.
func ParseHosts(entries []string) (Hosts, error) {
	var h Hosts
	var faults []error
	for _, entry := range entries {
		if err := h.add(entry); err != nil {
			faults = append(faults, fmt.Errorf("entry %.300q: %w", entry, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return Hosts{}, err
	}
	return h, nil
}

func (h *Hosts) add(entry string) error {
	if _, err := netip.ParsePrefix(entry); err == nil {
		block, err := parseBlock(entry)
		h.ranges = append(h.ranges, block)
		return err
	}
	p, err := parsePlace(entry)
	if err == nil && p.dir != "/" {
		err = errors.New("a path; want host, host:port, *.domain or a range such as 10.0.0.0/8")
	}
	h.list = append(h.list, p)
	return err
}

// Has reports whether the list has host, a name or an address without
// brackets, at port.
func (h Hosts) Has(host string, port int) bool {
	if h.all || has(h.list, host, port, "/") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(h.ranges, func(r netip.Prefix) bool { return r.Contains(address.Plain(a)) })
}

// HasURL reports whether the list has the host of a URL.
func (h Hosts) HasURL(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	host, port, err := destinationOf(u)
	return err == nil && h.Has(host, port)
}

// IsEmpty reports whether the list has no host.
func (h Hosts) IsEmpty() bool { return !h.all && len(h.list) == 0 && len(h.ranges) == 0 }

// place is a directory of a host, as a setting names it.
type place struct {
	host string // a hostKey; ".example.org" is every name that ends so
	port int    // 0 is any
	dir  string // clean and decoded; "/" is the whole host
}

// parsePlace reads host[:port][/directory] or *.domain[:port][/directory].
func parsePlace(entry string) (place, error) {
	if strings.Contains(entry, "://") {
		return place{}, errors.New("write it without the scheme")
	}
	if _, err := netip.ParsePrefix(entry); err == nil {
		return place{}, errors.New("a range; want hosts by name or address")
	}
	host, dir, _ := strings.Cut(entry, "/")
	dir, err := url.PathUnescape(dir)
	if err != nil || strings.ContainsAny(dir, "?#*") {
		return place{}, errors.New("want a directory behind the host, without query or wildcard")
	}
	suffix, wild := strings.CutPrefix(host, "*.")
	host, port, err := parseHost(suffix)
	if err != nil {
		return place{}, err
	}
	if wild {
		if _, err := netip.ParseAddr(host); err == nil {
			return place{}, errors.New("a wildcard before an address; want *.domain")
		}
		host = "." + host
	}
	return place{host: host, port: port, dir: path.Clean("/" + dir)}, nil
}

// has reports whether a file of a host lies in one of the places.
func has(list []place, host string, port int, file string) bool {
	host = hostKey(host)
	for _, p := range list {
		if p.hasHost(host) && (p.port == 0 || p.port == port) && within(p.dir, file) {
			return true
		}
	}
	return false
}

func (p place) hasHost(host string) bool {
	return p.host == host || p.host[0] == '.' && strings.HasSuffix(host, p.host)
}

// within reports whether file is dir or lies beneath it.
func within(dir, file string) bool {
	return dir == "/" || file == dir || strings.HasPrefix(file, dir+"/")
}
