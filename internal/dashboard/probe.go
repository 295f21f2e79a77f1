package dashboard

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"millpond/internal/api"
)

// maxOthers bounds the boxes that setup.sh names beside this one; its probe asks all of
// them at once.
const maxOthers = 4

// probe tells the probe of setup.sh whether apt gains from asking this box for the URL
// that is the query: a line that begins with proxy or direct. The second line has the
// addresses of the site's other boxes, which the probe remembers.
func (d *Dashboard) probe(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if answer := d.readiness(); answer.Status == "unavailable" {
		// The probe then asks the other boxes, as if this one were down.
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "direct: the box is not ready, see /readyz")
		return
	}
	said := "proxy"
	// setup.sh asks without a URL whether the box is there at all.
	if uri := r.URL.RawQuery; uri != "" {
		if err := d.mirrors.Takes(r.Context(), uri); err != nil {
			said = fmt.Sprintf("direct: %.300q", err.Error())
		}
	}
	fmt.Fprintf(w, "%s\nboxes: %s\n", said, strings.Join(d.others(d.box(r)), " "))
}

// others are where clients are likely to reach the other boxes of the site, in the order
// of their round trips. One that does not say is taken to have the port that this box has.
// The probe asks each before it uses it.
func (d *Dashboard) others(box string) []string {
	if d.swarm == nil {
		return nil
	}
	all := []string{}
	_, text, err := net.SplitHostPort(box)
	port, err2 := strconv.ParseUint(text, 10, 16)
	if err != nil || err2 != nil || port == 0 {
		return nil
	}
	peers := slices.Clone(d.swarm.Peers())
	slices.SortStableFunc(peers, func(a, b api.Peer) int { return cmp.Compare(a.RTT, b.RTT) })
	for _, p := range peers {
		if (p.Kind != "member" && p.Kind != "local") || p.Path != "direct" || !p.Nearby {
			continue
		}
		told := d.site.Serves(p.ID)
		addr := servesAt(told, addrOf(p.Addr), p.Kind == "member")
		if !isForClients(addr) || told.Addr().IsLoopback() {
			continue
		}
		at := netip.AddrPortFrom(addr, cmp.Or(told.Port(), uint16(port))).String()
		if at != box && len(all) < maxOthers && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// servesAt is the address at which clients reach a box that is connected from an address.
// Nothing proves what one that is no member tells: it may not send clients elsewhere.
func servesAt(told netip.AddrPort, connected netip.Addr, member bool) netip.Addr {
	if !told.IsValid() || told.Addr().IsUnspecified() || !member {
		return connected
	}
	return told.Addr()
}

// isForClients reports whether other machines may reach something at an address.
func isForClients(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
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
