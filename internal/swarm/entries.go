package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"

	"millpond/internal/api"
)

const (
	swarmPort   = 4001
	maxIdentity = 64 << 10 // bytes of an answer of /api/v1/peer
	maxDepth    = 4        // a dnsaddr may name others
)

// systemResolver uses the machine's DNS settings.
var systemResolver madns.BasicResolver = net.DefaultResolver

// entry of Options.Bootstrap leads to boxes.
type entry struct {
	name string
	find func(context.Context) ([]target, error)
}

// parse reads an entry of Options.Bootstrap.
func (b *bootstrap) parse(text string) (entry, error) {
	switch {
	case strings.HasPrefix(text, "/"):
		addr, err := parseAddr(text)
		if err != nil {
			return entry{}, fmt.Errorf("bootstrap address %q: %w", text, err)
		}
		return entry{text, func(ctx context.Context) ([]target, error) { return b.resolve(ctx, addr, maxDepth) }}, nil
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return entry{}, fmt.Errorf("bootstrap address %q: want one such as http://box.example.org:3142", text)
		}
		return entry{text, func(ctx context.Context) ([]target, error) { return b.ask(ctx, u) }}, nil
	}
	name, port := text, swarmPort
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return entry{}, fmt.Errorf("bootstrap address %q: port %q is not a number from 1 to 65535", text, p)
		}
		name, port = h, int(n)
	}
	if name == "" || strings.ContainsAny(name, " /?#@") {
		return entry{}, fmt.Errorf("bootstrap address %q: want a multiaddr, a DNS name with or without port, or the http:// address of a box", text)
	}
	return entry{text, func(ctx context.Context) ([]target, error) { return b.look(ctx, name, port) }}, nil
}

// resolve follows dnsaddr records; any other address is a target already.
func (b *bootstrap) resolve(ctx context.Context, addr ma.Multiaddr, depth int) ([]target, error) {
	if _, err := addr.ValueForProtocol(ma.P_DNSADDR); err != nil {
		transport, id := p2p.SplitAddr(addr)
		if transport == nil {
			return nil, fmt.Errorf("%s has a peer ID and no address", addr)
		}
		return []target{{id, []ma.Multiaddr{transport}}}, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("resolving %s: more than %d records that name each other", addr, maxDepth)
	}
	found, err := b.names(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", addr, err)
	}
	var targets []target
	for _, a := range found[:min(len(found), maxTargets)] {
		more, err := b.resolve(ctx, a, depth-1)
		if err != nil {
			return nil, err
		}
		targets = append(targets, more...)
		if len(targets) >= maxTargets {
			break
		}
	}
	return targets, nil
}

// names returns the addresses that the name in addr stands for; addr itself if there
// is none in it.
func (b *bootstrap) names(ctx context.Context, addr ma.Multiaddr) ([]ma.Multiaddr, error) {
	resolver, err := madns.NewResolver(madns.WithDefaultResolver(b.resolver))
	if err != nil {
		return nil, err
	}
	return resolver.Resolve(ctx, addr)
}

// look treats each address of a DNS name as a different box, as in a headless
// service.
func (b *bootstrap) look(ctx context.Context, name string, port int) ([]target, error) {
	found, err := b.resolver.LookupIPAddr(ctx, name)
	if err != nil {
		return nil, err // names the name
	}
	var targets []target
	for _, ip := range found[:min(len(found), maxTargets)] {
		addr, err := manet.FromNetAddr(&net.TCPAddr{IP: ip.IP, Port: port})
		if err != nil {
			return nil, err
		}
		targets = append(targets, target{addrs: []ma.Multiaddr{addr}})
	}
	return targets, nil
}

// ask requests the identity of a box from its dashboard.
func (b *bootstrap) ask(ctx context.Context, u *url.URL) ([]target, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath(api.IdentityPath).String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: status %s", request.URL, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxIdentity))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", request.URL, err)
	}
	t, err := parseIdentity(body)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", request.URL, err)
	}
	// It may know itself by addresses that mean nothing here; it was reached
	// by this name.
	if addr, err := ma.NewMultiaddr(hostAddr(u.Hostname(), swarmPort)); err == nil {
		t.addrs = append(t.addrs, addr)
	}
	return []target{t}, nil
}

func hostAddr(host string, port int) string {
	kind := "dns"
	if ip := net.ParseIP(host); ip != nil {
		kind = "ip6"
		if ip.To4() != nil {
			kind = "ip4"
		}
	}
	return fmt.Sprintf("/%s/%s/tcp/%d", kind, host, port)
}

// parseIdentity reads another box's answer.
func parseIdentity(body []byte) (target, error) {
	var said api.Identity
	if err := json.Unmarshal(body, &said); err != nil {
		return target{}, fmt.Errorf("reading a box's identity: %w", err)
	}
	id, err := p2p.Decode(said.ID)
	if err != nil {
		return target{}, fmt.Errorf("reading a box's identity: peer ID %.80q: %w", said.ID, err)
	}
	t := target{id: id}
	for _, text := range said.Addrs[:min(len(said.Addrs), maxTargets)] {
		addr, err := ma.NewMultiaddr(text)
		if err != nil {
			return target{}, fmt.Errorf("reading a box's identity: %w", err)
		}
		transport, of := p2p.SplitAddr(addr)
		if of != "" && of != id {
			return target{}, errors.New("reading a box's identity: an address of another box")
		}
		if transport != nil {
			t.addrs = append(t.addrs, transport)
		}
	}
	return t, nil
}
