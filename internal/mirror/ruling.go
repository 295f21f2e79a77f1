package mirror

import (
	"context"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
)

// lists are what the two settings of a Policy list. They are not changed.
type lists struct {
	set     allowed // by MILLPOND_ALLOW_UPSTREAMS
	anyPath Hosts   // that may be asked for anything
	only    []place // the archives; nil is all
}

// ruling is a Policy with the lists of one moment, so that one decision goes by one list.
type ruling struct {
	*Policy
	*lists
}

// now is the ruling by the lists in force.
func (p *Policy) now() ruling {
	if l := p.lists.Load(); l != nil {
		return ruling{p, l}
	}
	return ruling{p, new(lists)}
}

// Replace puts the lists of other, as ParsePolicy and Restrict made them, in the place of
// those of p, both at once. What began under one context of For goes on under the lists
// that it began with.
func (p *Policy) Replace(other *Policy) { p.lists.Store(other.now().lists) }

// rulingKey is the key of a begun in a context.
type rulingKey struct{}

// begun has the ruling of the first request under a context for all others under it: a
// large file takes many, and a change of the lists does not end its download.
type begun struct {
	once   sync.Once
	ruling ruling
}

// rulingFor is the ruling for requests under ctx.
func (c *Client) rulingFor(ctx context.Context) ruling {
	b, ok := ctx.Value(rulingKey{}).(*begun)
	if !ok {
		return c.policy.now()
	}
	b.once.Do(func() { b.ruling = c.policy.now() })
	return b.ruling
}

// refuseReused returns ctx for a request for u, which cancel ends, with its refusal, where
// it would go over a connection that was opened under other lists: of a host by name, the
// address is looked at when it is dialled.
func (c *Client) refuseReused(ctx context.Context, cancel context.CancelCauseFunc, u *url.URL, host string, port int) context.Context {
	if c.leadsThrough(u) {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		at, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String())
		if err != nil || !i.Reused {
			return
		}
		if err := c.rulingFor(ctx).check(host, port, at.Addr()); err != nil {
			cancel(err)
		}
	}})
}
