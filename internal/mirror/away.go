package mirror

import "time"

// Away returns the hosts that did not answer when last asked and are being
// left alone for a moment; at most a thousand or so.
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
