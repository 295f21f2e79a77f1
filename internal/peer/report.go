package peer

import (
	"context"
	"errors"
	"net/netip"
)

// ErrMalformed means that a box sent a message that no honest one sends.
var ErrMalformed = errors.New("malformed message")

// Reporter has the figures that a box tells the others of its site. What the messages
// are is for it to know; they are not longer than the swarm carries.
type Reporter interface {
	// Report answers a question of a member or a local box. The error wraps ErrMalformed
	// if it is none.
	Report(ctx context.Context, by Asker, question []byte) (answer []byte, err error)
}

// Neighbour is a connected member or local box that can be asked for a report.
type Neighbour struct {
	Asker
	// Party is the network of its address: the boxes of one party may be one.
	Party netip.Prefix
}
