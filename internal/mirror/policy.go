package mirror

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"millpond/internal/address"
)

// The variables that a Policy is read from.
const (
	setting      = "MILLPOND_ALLOW_UPSTREAMS"
	onlyArchives = "MILLPOND_ONLY_ARCHIVES"
)

// Policy says which destinations may be dialled. Public addresses at ports 80
// and 443 always may, all else only if it is allowed. The zero value allows
// nothing else. After ParsePolicy, Restrict, Allow and Through only Replace changes it.
//
// Behind an upstream proxy, which resolves names itself, a destination is judged by
// its name: that is public or not.
//
// It also says what may be asked of a host: files of archives, of certain ones
// only after Restrict, and anything at all of hosts that are allowed so.
type Policy struct {
	lists   atomic.Pointer[lists] // nil: all are empty
	mirrors allowed               // those of MILLPOND_MIRRORS
	named   Hosts                 // of archives that have mirrors, whatever their ports

	upstream Upstream
}

// allowed are destinations that a setting allows.
type allowed struct {
	names  map[namedPort]bool
	ranges []portRange
}

// add adds the host at that port, a name or an address; port 0 is any.
func (a *allowed) add(host string, port int) {
	if addr, err := netip.ParseAddr(host); err == nil {
		a.ranges = append(a.ranges, portRange{netip.PrefixFrom(addr, addr.BitLen()), port})
		return
	}
	if a.names == nil {
		a.names = make(map[namedPort]bool)
	}
	a.names[namedPort{host, port}] = true
}

func (a *allowed) hasName(host string, port int) bool {
	host = canonical(host)
	return a.names[namedPort{host, 0}] || a.names[namedPort{host, port}]
}

func (a *allowed) hasAddr(addr netip.Addr, port int) bool {
	return slices.ContainsFunc(a.ranges, func(r portRange) bool { return r.has(addr, port) })
}

// namedPort is a host allowed by name, as canonical has it; port 0 is any.
type namedPort struct {
	host string
	port int
}

// portRange is a range allowed by address; port 0 is any.
type portRange struct {
	block netip.Prefix
	port  int
}

func (r portRange) has(a netip.Addr, port int) bool {
	return (r.port == 0 || r.port == port) && r.block.Contains(a)
}

// ParsePolicy reads the entries of MILLPOND_ALLOW_UPSTREAMS:
//
//   - "mirror.example.net": any port there, at private addresses too;
//   - "mirror.example.net:8080": this port there, at private addresses too;
//   - "10.0.0.0/8", "10.1.2.3", "fd00::1": any port at these addresses, by
//     whatever name;
//   - "10.1.2.3:8080", "[fd00::1]:8080": this port at this address;
//   - one of these but a range, and "/*": the same, and any path there.
//
// The error names every malformed entry and what an entry takes.
func ParsePolicy(allow []string) (*Policy, error) {
	l := new(lists)
	var faults []error
	for _, entry := range allow {
		if err := l.add(strings.TrimSpace(entry)); err != nil {
			faults = append(faults, fmt.Errorf("%s: entry %.300q: %w", setting, entry, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	p := new(Policy)
	p.lists.Store(l)
	return p, nil
}

func (l *lists) add(entry string) error {
	entry, anyPath := strings.CutSuffix(entry, "/*")
	if strings.Contains(entry, "/") {
		if anyPath {
			return errors.New("want host/* or host:port/*, without another path or a range")
		}
		block, err := parseBlock(entry)
		if err != nil {
			return err
		}
		l.set.ranges = append(l.set.ranges, portRange{block: block})
		return nil
	}
	host, port, err := parseHost(entry)
	if err != nil {
		return err
	}
	l.set.add(host, port)
	if anyPath {
		l.anyPath.list = append(l.anyPath.list, place{host: host, port: port, dir: "/"})
	}
	return nil
}

// Restrict reads the entries of MILLPOND_ONLY_ARCHIVES, which alone may be
// asked for files from now on: "archive.example.org", with a port and a
// directory where it is to be narrower, or "*.example.org". No entries restrict
// nothing. The error names every malformed entry.
func (p *Policy) Restrict(archives []string) error {
	l := *p.now().lists
	l.only = slices.Clip(l.only)
	var faults []error
	for _, entry := range archives {
		archive, err := parsePlace(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: entry %.300q: %w", onlyArchives, entry, err))
		}
		l.only = append(l.only, archive)
	}
	p.lists.Store(&l)
	return errors.Join(faults...)
}

// Through makes u the way to all mirrors that it does not except.
func (p *Policy) Through(u Upstream) { p.upstream = u }

// CheckArchive decides whether a file, by its decoded and clean path, may be
// asked of a host. Redirects are left to Check: an archive may keep its
// bytes elsewhere. The error is a *RefusedError.
func (p *Policy) CheckArchive(host string, port int, file string) error {
	return p.now().checkArchive(host, port, file)
}

func (r ruling) checkArchive(host string, port int, file string) error {
	if r.only == nil || has(r.only, host, port, file) {
		return nil
	}
	// Short enough for a status line to end with the setting.
	return &RefusedError{Host: host, Reason: fmt.Sprintf("%.100s%.100s is not in %s", host, file, onlyArchives), Setting: onlyArchives}
}

// AllowsAnyPath reports whether the host may be asked for anything, not for
// files of archives only.
func (p *Policy) AllowsAnyPath(host string, port int) bool { return p.now().anyPath.Has(host, port) }

func parseBlock(entry string) (netip.Prefix, error) {
	block, err := netip.ParsePrefix(entry)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("not a range; want one such as 10.0.0.0/8 or fd00::/8, or a host without scheme and path, or host/* for any path")
	case block.Addr().Is4In6():
		return netip.Prefix{}, errors.New("a range of IPv4 addresses in IPv6 form; write it as IPv4")
	case block != block.Masked():
		return netip.Prefix{}, fmt.Errorf("an address within a range; the range is %v", block.Masked())
	}
	return block, nil
}

// Check decides on a connection to port at addr, to which host, a name or an
// address without brackets, was resolved. Its error is a *RefusedError.
func (p *Policy) Check(host string, port int, addr netip.Addr) error {
	return p.now().check(host, port, addr)
}

func (r ruling) check(host string, port int, addr netip.Addr) error {
	if r.namesAllow(host, port) {
		return nil
	}
	addr = address.Plain(addr)
	if r.rangesAllow(addr, port) {
		return nil
	}
	for _, to := range address.Destinations(addr) {
		if r.rangesAllow(to, port) {
			continue
		}
		if what := address.Unfit(to); what != "" {
			return &RefusedError{Host: host, Addr: addr.String(), Reason: fmt.Sprintf("%v is %s", addr, what), Setting: cure(host, port)}
		}
		if !standard(port) {
			return refusedPort(host, port)
		}
	}
	return nil
}

func (r ruling) rangesAllow(a netip.Addr, port int) bool {
	return r.set.hasAddr(a, port) || r.mirrors.hasAddr(a, port)
}

// CheckName is an early check of the host that a client asks for. After nil its
// address may still be refused, and so may files of an archive's host that none of
// the archive's mirrors has.
func (p *Policy) CheckName(host string, port int) error { return p.now().checkName(host, port) }

func (r ruling) checkName(host string, port int) error {
	if r.named.Has(host, port) && !r.upstream.is(host, port) {
		return nil
	}
	return r.checkDestination(host, port)
}

// checkDestination is check before host is resolved: after nil, check may still
// refuse its address, unless it is reached through the upstream proxy.
func (r ruling) checkDestination(host string, port int) error {
	if r.upstream.is(host, port) {
		return &RefusedError{Host: host, Reason: fmt.Sprintf("%v is the proxy of %s itself", r.upstream, upstreamProxy)}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return r.check(host, port, a)
	}
	if r.upstream.leadsTo(host, port) {
		return r.checkPublicName(host, port)
	}
	anywhere := func(p portRange) bool { return p.port == 0 || p.port == port }
	if standard(port) || r.namesAllow(host, port) || slices.ContainsFunc(r.set.ranges, anywhere) || slices.ContainsFunc(r.mirrors.ranges, anywhere) {
		return nil
	}
	return refusedPort(host, port)
}

// checkPublicName decides on a host that the upstream proxy resolves.
func (r ruling) checkPublicName(host string, port int) error {
	switch {
	case r.namesAllow(host, port):
		return nil
	case !isPublicName(host):
		return &RefusedError{
			Host:    host,
			Reason:  fmt.Sprintf("%.100s has no public suffix and counts as private behind %s", host, upstreamProxy),
			Setting: cure(host, port),
		}
	case !standard(port):
		return refusedPort(host, port)
	}
	return nil
}

func (r ruling) namesAllow(host string, port int) bool {
	return r.set.hasName(host, port) || r.mirrors.hasName(host, port)
}

func standard(port int) bool { return port == 80 || port == 443 }

func refusedPort(host string, port int) *RefusedError {
	return &RefusedError{
		Host:    net.JoinHostPort(host, strconv.Itoa(port)),
		Reason:  fmt.Sprintf("port %d is neither 80 nor 443", port),
		Setting: cure(host, port),
	}
}

// cure returns the narrowest setting that allows host and survives a change of its
// address.
func cure(host string, port int) string {
	if a, err := netip.ParseAddr(host); err == nil {
		host = address.Plain(a).String() // entries have no zone
	}
	if standard(port) {
		return setting + "=" + host
	}
	return setting + "=" + net.JoinHostPort(host, strconv.Itoa(port))
}
