package mirror

import (
	"context"
	"sync"
)

// lists are what the two settings of a Policy list. They are not changed.
type lists struct {
	set     allowed // by MILLPOND_ALLOW_UPSTREAMS
	anyPath Hosts   // that may be asked for anything
	only    []place // the archives; nil is all
}

// none is what a Policy without lists has.
var none = new(lists)

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
	return ruling{p, none}
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
