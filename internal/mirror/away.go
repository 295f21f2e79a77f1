package mirror

import (
	"maps"
	"slices"
	"time"
)

// Away returns the hosts that did not answer the last request and get none for a
// while, about a thousand at most; not those of which another mirror of the same
// archives is asked instead.
func (c *Client) Away() []string {
	now := time.Now()
	c.down.mu.Lock()
	away := make(map[string]bool)
	for host, o := range c.down.hosts {
		if now.Before(o.until) {
			away[host] = true
		}
	}
	c.down.mu.Unlock()
	maps.DeleteFunc(away, func(host string, _ bool) bool { return c.mirrors.replace(host, away) })
	return slices.Collect(maps.Keys(away))
}

// replace reports whether a host is that of mirrors, and each of their archives
// has another one that is not away.
func (m Mirrors) replace(host string, away map[string]bool) bool {
	found := false
	for _, a := range m.archives {
		if !slices.ContainsFunc(a.mirrors, func(d directory) bool { return d.hostport() == host }) {
			continue
		}
		found = true
		if !slices.ContainsFunc(a.mirrors, func(d directory) bool { return !away[d.hostport()] }) {
			return false
		}
	}
	return found
}

// AwayUpstream returns the host:port of the upstream proxy if that cannot be connected
// to, else "".
func (c *Client) AwayUpstream() string {
	up := c.policy.upstream.String()
	if c.proxyDown.cause(up) == nil {
		return ""
	}
	return up
}
