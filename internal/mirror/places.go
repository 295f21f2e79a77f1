package mirror

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// Hosts is a list of hosts, some of them with a port. The zero value lists none.
type Hosts struct {
	all  bool
	list []place
}

// AllHosts returns the list of every host.
func AllHosts() Hosts { return Hosts{all: true} }

// ParseHosts reads a list of hosts:
//
//   - "download.example.org": any port there;
//   - "download.example.org:8443", "10.1.2.3:8443", "[fd00::1]:8443": this port;
//   - "*.example.org": every name that ends so.
//
// A word alone, without a dot or a port, is refused: it is more likely a
// misspelt "true" or "false". The error names every malformed entry.
func ParseHosts(entries []string) (Hosts, error) {
	var h Hosts
	var faults []error
	for _, entry := range entries {
		p, err := parsePlace(entry)
		switch {
		case err == nil && p.dir != "/":
			err = errors.New("a path; want a host or host:port")
		case err == nil && !strings.ContainsAny(entry, ".:"):
			err = errors.New("want true, false, or hosts with a dot or a port such as download.example.org")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %.300q: %w", entry, err))
		}
		h.list = append(h.list, p)
	}
	if err := errors.Join(faults...); err != nil {
		return Hosts{}, err
	}
	return h, nil
}

// Has reports whether the list has host, a name or an address without
// brackets, at port.
func (h Hosts) Has(host string, port int) bool { return h.all || has(h.list, host, port, "/") }

// IsEmpty reports whether the list has no host.
func (h Hosts) IsEmpty() bool { return !h.all && len(h.list) == 0 }

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
