package mirror

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"millpond/internal/catalog"
)

// maxResolve bounds the look-up of a name for Takes: a client waits one second for the
// answer, on the other side of a network.
const maxResolve = 500 * time.Millisecond

// Takes reports, with an error that says why not, whether a client gains from asking the
// box for uri rather than its host: not if policy refuses the host or all its addresses,
// nor for names that mean something else on each machine, nor for those that the box
// cannot resolve. A resolver that does not answer is no reason: the box may have the file.
// Nothing is connected to.
func (c *Client) Takes(ctx context.Context, uri string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return errors.New("it is not a URL")
	}
	l, err := catalog.ParseLocation(u.Scheme, u.Host, u.EscapedPath())
	if err != nil {
		return err
	}
	host, port := u.Hostname(), 80
	if l.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" {
		if _, port, err = splitHostPort(net.JoinHostPort(host, u.Port())); err != nil {
			return err
		}
	}
	host = strings.ToLower(host)
	if isOwn(host) {
		return fmt.Errorf("%.100s is a name of each machine or link", host)
	}
	r := c.policy.now()
	if err := r.checkName(host, port); err != nil {
		return err
	}
	if err := r.checkArchive(host, port, l.Path); err != nil {
		return err
	}
	if c.mayLeave() != nil || r.named.Has(host, port) || r.namesAllow(host, port) || r.upstream.leadsTo(host, port) {
		return nil
	}
	return c.checkAddresses(ctx, r, host, port)
}

// isOwn reports whether a name is of the machine that resolves it (RFC 6761) or of its
// link (RFC 6762).
func isOwn(host string) bool {
	host = strings.TrimSuffix(host, ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local")
}

// checkAddresses refuses a host none of whose addresses may be connected to.
func (c *Client) checkAddresses(ctx context.Context, r ruling, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, maxResolve)
	defer cancel()
	addrs, err := c.lookUp(ctx, host)
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return fmt.Errorf("the box's resolver does not know %.100s", host)
	}
	var refused error
	for _, addr := range addrs {
		if refused = r.check(host, port, addr); refused == nil {
			return nil
		}
	}
	return refused
}
