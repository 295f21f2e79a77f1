// Package front is what stands between a port of the box and its HTTP servers:
// whose connection and whose request it is where a proxy passes them on (PROXY
// protocol, Forwarded, X-Forwarded-For), and TLS beside plain HTTP.
//
// Shares divide what clients hold open (connections, and elsewhere event streams,
// tunnels, downloads) among them. All of it can be used, and whoever has the most loses
// a place when another one comes. Boxes of the swarm are not clients: swarm/quota
// divides among them, and keeps slots free for the next one, since libp2p cannot take
// back all that it gave.
//
// It promises that nobody but the named proxies decides whose a request is, and
// that what they say in a way that can be read in two ways makes it nobody's.
package front

import (
	"net/http"
	"net/netip"
)

// Proxies are the addresses of proxies that are believed about their clients.
type Proxies []netip.Prefix

// ClientOf is the address that a request came from, an IPv4 one in its own
// form; the zero Addr if that is not known.
func ClientOf(r *http.Request) netip.Addr { return addrOf(r.RemoteAddr) }

// addrOf returns the address of host:port.
func addrOf(hostport string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return netip.Addr{}
	}
	return plain(ap.Addr())
}

// plain is the form in which addresses are compared.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func (p Proxies) has(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// Identify returns r as its client sent it: if it came from one of the proxies,
// with the address of the client in RemoteAddr, or none if the proxies leave
// that open. Everything else goes by that field alone.
func (p Proxies) Identify(r *http.Request) *http.Request {
	peer := ClientOf(r)
	if !p.has(peer) {
		return r
	}
	client := p.client(peer, r.Header)
	if client == peer {
		return r
	}
	identified := new(http.Request)
	*identified = *r
	identified.RemoteAddr = ""
	if client.IsValid() {
		identified.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	}
	return identified
}

// Handler is next with identified requests, which count for their clients (Serving).
func (p Proxies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = p.Identify(r)
		Serving(r)
		next.ServeHTTP(w, r)
	})
}

// client is whose request it is that peer, a proxy, has passed on. A proxy adds
// to one of the two fields and may pass the other one on as a client wrote it.
// So if both are there they have to agree.
func (p Proxies) client(peer netip.Addr, h http.Header) netip.Addr {
	var found []netip.Addr
	for name, parse := range map[string]func(string) ([]netip.Addr, error){
		"Forwarded": parseForwarded, "X-Forwarded-For": parseForwardedFor,
	} {
		var hops []netip.Addr
		for _, line := range h.Values(name) {
			more, err := parse(line)
			if err != nil {
				// The proxy's own part cannot be told from the client's.
				return netip.Addr{}
			}
			hops = append(hops, more...)
		}
		if len(hops) > 0 {
			found = append(found, p.nearest(peer, hops))
		}
	}
	switch {
	case len(found) == 0:
		return peer
	case found[0] != found[len(found)-1]:
		return netip.Addr{}
	}
	return found[0]
}

// nearest is the last of the hops that is no proxy. What stands before it is
// what that client says. A proxy that hides its client is taken for it.
func (p Proxies) nearest(peer netip.Addr, hops []netip.Addr) netip.Addr {
	client := peer
	for i := len(hops) - 1; i >= 0 && hops[i].IsValid() && p.has(client); i-- {
		client = hops[i]
	}
	return client
}
