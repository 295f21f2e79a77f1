package mirror

import (
	"context"
	"net/http"
	"strings"

	"millpond/internal/front"
)

// maxVia bounds what is passed on of a request's Via, in bytes: some sixty boxes.
// Of a longer one the end counts, where a loop shows.
const maxVia = 2 << 10

// viaKey and partyKey are the keys of a Via and of a party in a context.
type (
	viaKey   struct{}
	partyKey struct{}
)

// For returns ctx for requests on behalf of one that a party sent with these Via fields,
// as for WithVia. The party has its share of the connections to a host, and the policy in
// force at the first request is that of all others under the same context.
func For(ctx context.Context, party front.Party, fields []string) context.Context {
	ctx = context.WithValue(ctx, rulingKey{}, new(begun))
	return WithVia(context.WithValue(ctx, partyKey{}, party), fields)
}

// WithVia returns ctx for requests on behalf of one that came with these Via fields.
// They are passed on with this box's own name behind them (RFC 9110, section 7.6.3),
// so that boxes that lead to each other notice a request that comes back.
func WithVia(ctx context.Context, fields []string) context.Context {
	via := strings.Join(fields, ", ")
	if len(via) > maxVia {
		_, via, _ = strings.Cut(via[len(via)-maxVia:], ",")
	}
	if via = strings.TrimSpace(via); via == "" {
		return ctx
	}
	return context.WithValue(ctx, viaKey{}, via)
}

// ForSame returns ctx for requests on behalf of the one that from is of.
func ForSame(ctx, from context.Context) context.Context {
	ctx = context.WithValue(ctx, partyKey{}, partyOf(from))
	if via, ok := from.Value(viaKey{}).(string); ok {
		return context.WithValue(ctx, viaKey{}, via)
	}
	return ctx
}

// partyOf is the party that requests under ctx are for; the zero one of the box's own.
func partyOf(ctx context.Context) front.Party {
	party, _ := ctx.Value(partyKey{}).(front.Party)
	return party
}

// headersFor are those of every request, for one under ctx.
func (c *Client) headersFor(ctx context.Context) http.Header {
	h := c.headers.Clone()
	if before, ok := ctx.Value(viaKey{}).(string); ok && h.Get("Via") != "" {
		h.Set("Via", before+", "+h.Get("Via"))
	}
	return h
}
