package proxy

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/mirror"
)

// A client can have the box as its proxy and name it in sources.list as well:
// GET http://nas:3142/https/archive.example.org/debian/x comes to the box as
// its proxy then. Behind a port mapping, or by a name that somebody else
// resolves, the box cannot tell that it is meant. What it can tell is that the
// URL's host is no upstream: policy refuses it, or nobody has such a name. Then
// the path is read as if the box had been asked directly. Nothing is reached by
// that which the client could not ask for directly, since policy is
// applied to the host in the path.

// own returns how a request, r, would be read if the host of its URL were the box.
func (t target) own(r *http.Request) (target, bool) {
	if !t.absolute || t.scheme != "http" {
		return target{}, false
	}
	o := originTarget(t.path)
	switch o.route {
	case toArchive:
		return o, true
	case toLocal:
		page, _, _ := strings.Cut(strings.TrimLeft(t.path, "/"), "/")
		page, _, _ = strings.Cut(page, "?")
		_, port, _ := net.SplitHostPort(t.host)
		return o, isReserved(page) && port == localPort(r)
	}
	return target{}, false
}

// targetOf is what a request is for, as far as its form and what is known of the
// box's names and of its client's ring tell.
func (p *Proxy) targetOf(r *http.Request) target {
	t, ok := p.byName(r)
	if !ok {
		t = targetOf(r)
	}
	if own, ok := t.own(r); ok {
		if l, err := t.location(); err == nil && (p.names.has(l.Host) || own.route == toLocal && p.check(l) != nil) {
			t = own
		}
	}
	t.view = p.viewOf(t, front.ClientOf(r))
	return t
}

// ownArchive returns the target that t would be if its host were the box, where
// err, of vet or of open, says that the host is no upstream.
func (p *Proxy) ownArchive(r *http.Request, t target, l catalog.Location, err error) (target, bool) {
	own, ok := t.own(r)
	if !ok || own.route != toArchive || err == nil || l.Host == "" {
		return target{}, false
	}
	own.view = p.viewOf(own, front.ClientOf(r))
	return own, isNoUpstream(err, l) || p.check(l) != nil
}

// openNamed is open, but for a host that turns out to be no upstream: then it
// is taken for the box, unless the host in the path turns out to be none either.
// The target is the one that the answer is of.
func (p *Proxy) openNamed(r *http.Request, t target, client netip.Addr) (target, catalog.Entry, *fetch.File, error) {
	e, file, err := p.open(r, t, client)
	own, ok := p.ownArchive(r, t, e.Location, err)
	if !ok {
		return t, e, file, err
	}
	ownEntry, ownFile, ownErr := p.open(r, own, client)
	if isNoName(ownErr, ownEntry.Location) {
		return t, e, file, err
	}
	if isNoUpstream(err, e.Location) {
		p.names.add(e.Location.Host)
	}
	return own, ownEntry, ownFile, ownErr
}

// isNoUpstream reports whether err says that the host of l can be no upstream,
// by the address that its name has, or by having none.
func isNoUpstream(err error, l catalog.Location) bool {
	host, _ := destination(l)
	var refused *mirror.RefusedError
	return errors.As(err, &refused) && refused.Addr != "" && refused.Host == host || isNoName(err, l)
}

// isNoName reports whether err says that nobody has the name of l's host.
func isNoName(err error, l catalog.Location) bool {
	host, _ := destination(l)
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound && strings.TrimSuffix(dns.Name, ".") == host
}

const (
	maxOwnNames = 64
	// ownNameAge is how long the names are kept: what resolves to no upstream
	// now may do so later. An update takes less.
	ownNameAge = time.Minute
)

// ownNames remembers hosts that turned out to be no upstream where the path
// fitted the box, so that only the first request of an update has to find out.
type ownNames struct {
	mu    sync.Mutex // guards since
	since map[string]time.Time
}

func (n *ownNames) has(host string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.since[host]
	return ok && time.Since(at) < ownNameAge
}

func (n *ownNames) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.since)
}

func (n *ownNames) add(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since == nil {
		n.since = make(map[string]time.Time)
	}
	for old, at := range n.since {
		if time.Since(at) >= ownNameAge || len(n.since) >= maxOwnNames {
			delete(n.since, old)
		}
	}
	n.since[host] = time.Now()
}
