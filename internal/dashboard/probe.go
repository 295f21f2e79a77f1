package dashboard

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"millpond/internal/api"
)

// maxOthers bounds the boxes that setup.sh names beside this one; its probe asks all of
// them at once.
const maxOthers = 4

// probe tells the probe of setup.sh whether apt gains from asking this box for the URL
// that is the query: a line that begins with proxy or direct.
func (d *Dashboard) probe(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if answer := d.readiness(); answer.Status == "unavailable" {
		fmt.Fprintln(w, "direct: the box is not ready, see /readyz")
		return
	}
	// setup.sh asks without a URL whether the box is there at all.
	if uri := r.URL.RawQuery; uri != "" {
		if err := d.mirrors.Takes(r.Context(), uri); err != nil {
			fmt.Fprintf(w, "direct: %.300q\n", err.Error())
			return
		}
	}
	fmt.Fprintln(w, "proxy")
}

// others are where clients are likely to reach the other boxes of the site, at the port
// that this box has, in the order of their round trips. The probe asks each before it
// uses it.
func (d *Dashboard) others(box string) []string {
	if d.swarm == nil {
		return nil
	}
	all := []string{}
	_, port, err := net.SplitHostPort(box)
	if err != nil {
		return nil
	}
	peers := slices.Clone(d.swarm.Peers())
	slices.SortStableFunc(peers, func(a, b api.Peer) int { return cmp.Compare(a.RTT, b.RTT) })
	for _, p := range peers {
		addr := addrOf(p.Addr)
		if (p.Kind != "member" && p.Kind != "local") || p.Path != "direct" || !p.Nearby || !addr.IsValid() || addr.IsLoopback() {
			continue
		}
		at := net.JoinHostPort(addr.String(), port)
		if at != box && len(all) < maxOthers && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// addrOf is the address at which a multiaddress begins, invalid if that is no address
// or has a zone, which means nothing to others.
func addrOf(multiaddr string) netip.Addr {
	parts := strings.Split(multiaddr, "/")
	if len(parts) < 3 || parts[1] != "ip4" && parts[1] != "ip6" {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(parts[2])
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}
	}
	return addr.Unmap()
}
