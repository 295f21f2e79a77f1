package dashboard

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"millpond/internal/api"
)

// maxPlaces bounds an answer about where the box is; machines with many networks exist.
const maxPlaces = 16

// Places are where clients may reach the box.
type Places struct {
	// Interfaces returns the addresses at which the box listens for clients; none in a
	// container, whose addresses clients do not reach.
	Interfaces func() []Place
	Hostname   string // of the machine; "" if it says nothing to others
	Port       string // that the clients' listener has
	PagePort   string // that the page's has
}

// Place is an address of an interface.
type Place struct {
	Addr      netip.Addr
	Interface string
}

// setupQuery has what a request says about its own way.
type setupQuery struct {
	reached string
	direct  bool
}

// Resolve implements huma.Resolver.
func (q *setupQuery) Resolve(ctx huma.Context) []error {
	r, _ := humachi.Unwrap(ctx)
	q.reached, q.direct = r.Host, isDirect(r)
	return nil
}

var _ huma.Resolver = (*setupQuery)(nil)

// isDirect reports whether the name in a request is one that other machines can use for
// apt: none of the loopback interface, and none of a proxy that serves the page.
func isDirect(r *http.Request) bool {
	for _, h := range []string{"X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	name := hostOf(r.Host)
	addr, err := netip.ParseAddr(name)
	return name != "" && name != "localhost" && !strings.HasSuffix(name, ".localhost") && (err != nil || !addr.IsLoopback() && !addr.IsUnspecified())
}

func (d *Dashboard) getSetup(_ context.Context, q *setupQuery) (api.Setup, error) {
	return api.Setup{Reached: q.reached, Local: !q.direct, Addresses: d.addresses(q.reached, q.direct)}, nil
}

// addresses are where clients are likely to reach the box, the best first: what works for
// the reader, what an administrator named, then what the machine has.
func (d *Dashboard) addresses(reached string, direct bool) []api.BoxAddress {
	all := []api.BoxAddress{}
	add := func(host, kind, via string) {
		row := api.BoxAddress{Address: net.JoinHostPort(host, d.places.Port), Kind: kind, Via: via, Script: "http://" + net.JoinHostPort(host, d.places.PagePort) + "/setup.sh"}
		known := func(a api.BoxAddress) bool { return hostOf(a.Address) == strings.ToLower(host) }
		if len(all) < maxPlaces && plainHost.MatchString(row.Address) && !slices.ContainsFunc(all, known) {
			all = append(all, row)
		}
	}
	if direct && plainHost.MatchString(reached) {
		all = append(all, api.BoxAddress{Address: d.boxAt(reached, false), Kind: "request", Script: "http://" + reached + "/setup.sh"})
	}
	for _, name := range d.access.Names {
		if !strings.HasPrefix(name, "*") {
			add(name, "setting", "")
		}
	}
	for _, p := range sortedPlaces(d.places.Interfaces()) {
		add(p.Addr.String(), "interface", p.Interface)
	}
	if d.places.Hostname != "" && d.places.Hostname != "localhost" {
		add(d.places.Hostname, "hostname", "")
	}
	return all
}

// bridges are the beginnings of the names that interfaces have between a machine and its
// containers or virtual machines.
var bridges = []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "lxcbr", "lxdbr", "podman", "vmnet"}

// sortedPlaces are those that other machines may reach, private IPv4 first, which is what
// most sites use.
func sortedPlaces(all []Place) []Place {
	all = slices.DeleteFunc(slices.Clone(all), func(p Place) bool {
		a := p.Addr
		return !a.IsGlobalUnicast() || a.IsLoopback() ||
			slices.ContainsFunc(bridges, func(b string) bool { return strings.HasPrefix(p.Interface, b) })
	})
	rank := func(a netip.Addr) int {
		switch {
		case a.Is4() && a.IsPrivate():
			return 0
		case a.Is4():
			return 1
		case a.IsPrivate():
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b Place) int { return cmp.Compare(rank(a.Addr), rank(b.Addr)) })
	return all
}
