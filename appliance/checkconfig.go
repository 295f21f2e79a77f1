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
	"strings"

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

// describe is what a box does, each as the rest of a sentence.
func (c *Config) describe() []string {
	faces := ", dashboard, API and metrics"
	if c.DashboardListen != "" {
		faces = ""
	}
	does := []string{"serve clients" + faces + " at " + strings.Join(c.Listen, " and ")}
	add := func(holds bool, format string, args ...any) {
		if holds {
			does = append(does, fmt.Sprintf(format, args...))
		}
	}
	add(c.DashboardListen != "", "serve dashboard, API and metrics at %s", c.DashboardListen)
	add(c.certificate != nil, "speak TLS with those who want it, by %s", strings.Join(c.TLSCert, " and "))
	add(true, "take clients from %s", cmp.Or(joinPrefixes(c.AllowClients), "private and loopback addresses"))
	add(true, "keep at most %s in %s", c.describeSize(), describeDir(c.DataDir))
	add(len(c.Hosts) > 0, "serve archives under their own names, where DNS leads these here: %s", strings.Join(c.Hosts, ", "))
	does = append(does, c.describeUpstream()...)
	add(len(c.Follow) > 0, "keep up to date what MILLPOND_FOLLOW names: %d entries", len(c.Follow))
	switch {
	case !c.Swarm:
		add(true, "take part in no swarm")
	case c.SwarmKey != "":
		add(true, "take part in a private swarm at %s", strings.Join(c.SwarmListen, " and "))
	default:
		add(true, "take part in the open swarm at %s", strings.Join(c.SwarmListen, " and "))
	}
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
		"serve files of " + cmp.Or(strings.Join(c.OnlyArchives, ", "), "all archives") + ", at public addresses" + prefixed(" and at ", "", strings.Join(c.AllowUpstreams, ", ")),
		"open tunnels " + cmp.Or(tunnels, "to "+c.Tunnels.String()),
	}
}

// advice is about settings that are valid and may not be meant together.
func (c *Config) advice() (all []string) {
	if !c.names.IsEmpty() && !c.resolver.IsSet() {
		all = append(all, "MILLPOND_HOSTS without MILLPOND_RESOLVER: if this machine's DNS servers lead those names to the box, too, it cannot download from them")
	}
	at80 := false
	for _, addr := range c.Listen {
		at80 = at80 || strings.HasSuffix(addr, ":80")
	}
	if !c.names.IsEmpty() && !at80 {
		all = append(all, "MILLPOND_HOSTS without port 80 in MILLPOND_LISTEN: clients that DNS leads here use port 80, which has to lead to the box")
	}
	return all
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
