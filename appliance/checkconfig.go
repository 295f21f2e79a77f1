package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"millpond/internal/api"
	"millpond/internal/dashboard"
)

// checkConfig says what a box with these settings, which are valid, would do. It
// opens no port, contacts nobody and changes nothing.
func checkConfig(c Config, w io.Writer) error {
	var b strings.Builder
	b.WriteString("The settings are valid. A box with them would\n")
	for _, does := range c.describe() {
		b.WriteString("  " + does + "\n")
	}
	b.WriteString("Settings that are not the default:\n")
	changed := 0
	for _, s := range c.shown() {
		if s.Set {
			fmt.Fprintf(&b, "  %s=%s\n", s.Name, s.Value)
			changed++
		}
	}
	if changed == 0 {
		b.WriteString("  none\n")
	}
	for _, advice := range c.advice() {
		b.WriteString("Note: " + advice + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sentences are of what holds.
type sentences []string

func (s *sentences) add(holds bool, format string, args ...any) {
	if holds {
		*s = append(*s, fmt.Sprintf(format, args...))
	}
}

// describe is what a box does, each as the rest of a sentence.
func (c *Config) describe() []string {
	faces := ", dashboard, API and metrics"
	if c.DashboardListen != "" {
		faces = ""
	}
	does := sentences{"serve clients" + faces + " at " + strings.Join(c.Listen, " and ")}
	does.add(c.DashboardListen != "", "serve dashboard, API and metrics at %s", c.DashboardListen)
	does.add(len(c.access.Names) > 0, "serve the dashboard under the names %s, too", strings.Join(c.access.Names, ", "))
	does.add(len(c.access.Ranges) > 0, "show the dashboard to %s only", joinPrefixes(c.access.Ranges))
	does.add(c.access.Token != "", "ask for a token before it shows the dashboard")
	does.add(c.AdminToken != "", "take admin actions from those who have the admin token")
	does.add(c.certificate != nil, "speak TLS with those who want it, by %s", strings.Join(c.TLSCert, " and "))
	does.add(true, "take clients from %s", cmp.Or(joinPrefixes(c.AllowClients), "private and loopback addresses"))
	does.add(len(c.TrustedProxies) > 0, "believe %s whose a connection or request is", joinPrefixes(c.TrustedProxies))
	does.add(true, "keep at most %s in %s", c.describeSize(), describeDir(c.DataDir))
	does.add(len(c.Hosts) > 0, "serve archives under their own names, where DNS leads these here: %s", c.listed("HOSTS", c.Hosts, ""))
	does = append(does, c.describeUpstream()...)
	does = append(does, c.describeArchives()...)
	does = append(does, c.describeSwarm()...)
	does.add(c.Privacy != api.Privacy{}, "keep less about clients: %s", c.value("PRIVACY"))
	does.add(true, "log what is of level %s or above, as %s", c.value("LOG_LEVEL"), c.value("LOG_FORMAT"))
	does.add(c.AccessLog != "", "log each request to %s", c.AccessLog)
	return does
}

// describeUpstream is describe for what the box asks of others' servers.
func (c *Config) describeUpstream() []string {
	if c.Offline {
		return []string{"contact no mirror"}
	}
	way := "directly"
	if c.UpstreamProxy != "" {
		way = "through the proxy " + c.upstream.String()
		if len(c.UpstreamExcept) > 0 {
			way += ", but for " + strings.Join(c.UpstreamExcept, ", ")
		}
	}
	tunnels := map[string]string{"true": "to any https archive", "false": "to nowhere"}[c.Tunnels.String()]
	return []string{
		fmt.Sprintf("reach mirrors %s, by the addresses that %s", way, cmp.Or(prefixed("the DNS servers ", " give", c.resolver.String()), "this machine's DNS servers give")),
		"serve files of " + c.listed("ONLY_ARCHIVES", c.OnlyArchives, "all archives") + ", at public addresses" + prefixed(" and at ", "", c.listed("ALLOW_UPSTREAMS", c.AllowUpstreams, "")),
		"open tunnels " + cmp.Or(tunnels, "to "+c.listed("TUNNELS", parseList(c.Tunnels.String()), "")),
	}
}

// describeArchives is describe for what is done with archives.
func (c *Config) describeArchives() (does sentences) {
	does.add(true, "take what is signed by the archive keys in %s%s", cmp.Or(strings.Join(c.KeyringDir, ", "), "the distribution's directories"),
		prefixed(", and what comes from ", "", strings.Join(c.TrustHosts, ", ")))
	does.add(!c.Offline, "ask for a Release file again after %s", c.IndexTTL)
	does.add(len(c.Mirrors) > 0, "download archives from other mirrors: %s", c.value("MIRRORS"))
	does.add(c.AuthFile != "", "log in to archives by %s", c.AuthFile)
	does.add(c.value("MIRROR_RATE") != "", "download from mirrors at %s", c.value("MIRROR_RATE"))
	does.add(len(c.Follow) > 0, "keep up to date what MILLPOND_FOLLOW names: %d entries", len(c.Follow))
	does.add(!c.Offline && c.Prefetch > 0, "fetch %s a day before clients ask", dashboard.FormatBytes(int64(c.Prefetch)))
	does.add(!c.Offline && c.Prefetch == 0, "fetch nothing before clients ask")
	does.add(c.value("RINGS") != "", "have rings: %s", c.value("RINGS"))
	return does
}

// describeSwarm is describe for the swarm.
func (c *Config) describeSwarm() (does []string) {
	if !c.Swarm {
		return []string{"take part in no swarm"}
	}
	kind := "the open swarm"
	if c.SwarmKey != "" {
		kind = "a private swarm"
	}
	does = []string{fmt.Sprintf("take part in %s at %s, in the mode %s", kind, strings.Join(c.SwarmListen, " and "), c.SwarmMode)}
	for _, s := range []struct {
		format string
		values []string
	}{
		{"connect to %s", c.Bootstrap},
		{"tell other boxes that it is at %s", c.AnnounceAddrs},
		{"take connections only from the boxes %s", c.SwarmAllowPeers},
		{"share the private archives of %s with all boxes", c.ShareHosts},
	} {
		if len(s.values) > 0 {
			does = append(does, fmt.Sprintf(s.format, strings.Join(s.values, ", ")))
		}
	}
	if !c.SwarmLocal {
		does = append(does, "not look for boxes on the network segment")
	}
	if c.IdentityFile != "" {
		does = append(does, "have the identity in "+c.IdentityFile)
	}
	if c.UploadRate.set {
		does = append(does, "upload at "+c.value("UPLOAD_RATE"))
	}
	return does
}

// value is a setting as it was given, or its default.
func (c *Config) value(name string) string {
	if value := c.given[prefix+name]; value != "" {
		return value
	}
	all := settings()
	return all[slices.IndexFunc(all, func(s setting) bool { return s.Name == prefix+name })].Default
}

// maxShown is how many entries of a list from a file are shown.
const maxShown = 8

// listed is a list of hosts, those of a file with its name and shortened; otherwise if it
// is empty.
func (c *Config) listed(setting string, entries []string, otherwise string) string {
	l := c.listFileOf(setting)
	if l == nil {
		return cmp.Or(strings.Join(entries, ", "), otherwise)
	}
	shown := cmp.Or(strings.Join(entries[:min(len(entries), maxShown)], ", "), "none")
	if len(entries) > maxShown {
		shown += ", …"
	}
	return fmt.Sprintf("%s (%d entries in %s, which is watched)", shown, len(entries), l.path)
}

// advice is about settings that are valid and may not be meant together.
func (c *Config) advice() (all sentences) {
	named := !c.names.IsEmpty() || c.listFileOf("HOSTS") != nil
	all.add(named && !c.resolver.IsSet(), "MILLPOND_HOSTS without MILLPOND_RESOLVER: if this machine's DNS servers lead those names to the box, too, it cannot download from them")
	all.add(named && !c.listensAtPort("80"), "MILLPOND_HOSTS without port 80 in MILLPOND_LISTEN: clients that DNS leads here use port 80, which has to lead to the box")
	all.add(named && c.Tunnels.hosts.IsEmpty(), "MILLPOND_HOSTS with MILLPOND_TUNNELS=false: https sources under those names fail")
	all.add(c.Offline && len(c.Follow) > 0, "MILLPOND_FOLLOW with MILLPOND_OFFLINE: what it names is not brought up to date")
	all.add(c.UpstreamProxy != "" && len(c.UpstreamExcept) == 0 && c.resolver.IsSet(), "MILLPOND_RESOLVER with MILLPOND_UPSTREAM_PROXY: that proxy resolves the names of mirrors, and the servers are not asked")
	all.add(c.UpstreamProxy == "" && len(c.UpstreamExcept) > 0, "MILLPOND_UPSTREAM_PROXY_EXCEPT without MILLPOND_UPSTREAM_PROXY: all mirrors are reached directly")
	all.add(!c.Swarm && (c.SwarmKey != "" || len(c.Bootstrap) > 0 || len(c.ShareHosts) > 0), "MILLPOND_SWARM=false with other settings of the swarm: these have no effect")
	return all
}

func (c *Config) listensAtPort(port string) bool {
	return slices.ContainsFunc(c.Listen, func(addr string) bool { return strings.HasSuffix(addr, ":"+port) })
}

func (c *Config) describeSize() string {
	if c.CacheSize.Bytes == 0 {
		return fmt.Sprintf("%g%% of the disk", c.CacheSize.Percent)
	}
	return dashboard.FormatBytes(c.CacheSize.Bytes)
}

// describeDir is a directory in full, and whether it is there.
func describeDir(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return dir + ", which it would make"
	}
	return dir
}

// prefixed is s between two other texts, "" if it is empty.
func prefixed(before, behind, s string) string {
	if s == "" {
		return ""
	}
	return before + s + behind
}

func joinPrefixes(all []netip.Prefix) string {
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}
