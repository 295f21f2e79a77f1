package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"millpond/internal/dashboard"
)

// anyBox stands for a box's name or address where only people know one.
const anyBox = "BOX"

// startReport is what a newcomer wants to know of a box that starts.
type startReport struct {
	dataDir   string
	used      int64 // bytes
	limit     int64
	dashboard string // URL; anyBox in it is for this machine's name
	clients   string // the command that sets up a client; likewise
}

// report tells people, or what reads the log where that is in JSON, that the box starts.
// Standard output is the access log's where that is there.
func (a *Appliance) report(stdout, stderr io.Writer) {
	s := a.describeStart(reachable())
	if a.config.LogFormat == logJSON {
		a.log.Info("started", "version", version, "dashboard", s.dashboard, "data_dir", s.dataDir, "used", s.used, "limit", s.limit, "client_setup", s.clients)
		return
	}
	if a.config.AccessLog == toStdout {
		stdout = stderr
	}
	where := ""
	if strings.Contains(s.dashboard+s.clients, "//"+anyBox+":") {
		where = ", with this machine's name or address for " + anyBox
	}
	fmt.Fprintf(stdout, "millpond %s\nData: %s, %s of %s\nDashboard%s: %s\nOn each client%s: %s\n", version,
		s.dataDir, dashboard.FormatBytes(s.used), dashboard.FormatBytes(s.limit), where, s.dashboard, where, s.clients)
}

// describeStart describes the box, which others reach at an address if that is valid.
func (a *Appliance) describeStart(reached netip.Addr) startReport {
	s := startReport{dataDir: a.config.DataDir}
	if abs, err := filepath.Abs(s.dataDir); err == nil {
		s.dataDir = abs
	}
	u := a.store.Usage()
	s.used, s.limit = u.Bytes+u.Partial+u.Beside, u.QuotaBytes
	if l, err := a.store.Limit(); err == nil {
		s.limit = l.Bytes
	}
	clients := openable(a.Addr(), reached)
	page := clients
	if last := a.servers[len(a.servers)-1]; a.config.DashboardListen != "" {
		page = openable(last.listener.Addr(), reached)
	}
	s.dashboard = "http://" + page + "/"
	s.clients = fmt.Sprintf(`echo 'Acquire::http::Proxy "http://%s";' | sudo tee /etc/apt/apt.conf.d/01millpond`, clients)
	return s
}

// openable is host:port of a listener as a person can open it.
func openable(l net.Addr, reached netip.Addr) string {
	host, port, err := net.SplitHostPort(l.String())
	switch {
	case err != nil:
		return l.String() // a TCP listener's address always splits
	case !isUnspecified(host):
	case reached.IsValid():
		host = reached.String()
	default:
		host = anyBox
	}
	return net.JoinHostPort(host, port)
}

func isUnspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}

// reachable is the address at which others on the network reach this machine: the one
// that it would reach others from. In a container it is an address that they do not
// reach, so that there is none.
func reachable() netip.Addr {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"} {
		if _, err := os.Stat(mark); err == nil {
			return netip.Addr{}
		}
	}
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // reserved for documentation; nothing is sent
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue
		}
		local, err := netip.ParseAddrPort(conn.LocalAddr().String())
		conn.Close()
		if err == nil && !local.Addr().IsLoopback() {
			return local.Addr().Unmap()
		}
	}
	return netip.Addr{}
}

// checkCacheSize warns of a cache that can never be as large as it may be.
func (a *Appliance) checkCacheSize() {
	l, err := a.store.Limit()
	if size := a.config.CacheSize.Bytes; err == nil && size > l.Disk {
		a.log.Warn("MILLPOND_CACHE_SIZE is more than the disk has: what there is room for is kept, and less if other programs use that disk",
			"size", dashboard.FormatBytes(size), "disk", dashboard.FormatBytes(l.Disk), "limit", dashboard.FormatBytes(l.Bytes), "dir", a.config.DataDir)
	}
}
