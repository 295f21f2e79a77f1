package mirror

import "time"

// Away returns the hosts that did not answer the last request and get none for a
// while; about a thousand at most.
func (c *Client) Away() []string {
	c.down.mu.Lock()
	defer c.down.mu.Unlock()
	var all []string
	for host, o := range c.down.hosts {
		if time.Now().Before(o.until) {
			all = append(all, host)
		}
	}
	return all
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
