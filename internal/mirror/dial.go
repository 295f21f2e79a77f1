package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

// Dial opens a TCP connection to host:port, an IPv6 address in brackets, for a
// CONNECT tunnel, under the same policy as Get. Nothing of it is metered. Errors:
// ErrOffline, *RefusedError, *UnreachableError, *UpstreamError, or the context's.
func (c *Client) Dial(ctx context.Context, hostport string) (net.Conn, error) {
	conn, err := c.open(ctx, hostport)
	if err != nil {
		return nil, explain(ctx, hostport, err)
	}
	return conn, nil
}

// open connects to hostport directly or by a tunnel of the upstream proxy.
func (c *Client) open(ctx context.Context, hostport string) (net.Conn, error) {
	host, port, err := splitHostPort(hostport)
	if err == nil && c.policy.upstream.leadsTo(host, port) {
		return c.tunnel(ctx, hostport)
	}
	return c.connect(ctx, "tcp", hostport)
}

// admit refuses what the policy forbids, and everything when offline. Every
// upstream request and every connection to a mirror passes it.
func (c *Client) admit(ctx context.Context, host string, port int) error {
	if err := c.mayLeave(); err != nil {
		return err
	}
	return c.rulingFor(ctx).checkDestination(host, port)
}

// connect dials hostport for tunnels and for the transport. The policy checks
// each address between its resolution and the connect system call, so a name
// that resolves differently a second time gains nothing.
func (c *Client) connect(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("dialling %.300q: %w", hostport, err)
	}
	if err := c.admit(ctx, host, port); err != nil {
		return nil, err
	}
	f := addressFilter{ruling: c.rulingFor(ctx), self: c.self, names: c.names, host: host, port: port}
	resolver, name := c.resolverFor(host)
	d := net.Dialer{Timeout: c.connectTimeout, Resolver: resolver, ControlContext: f.control}
	conn, err := c.dial(ctx, d, network, net.JoinHostPort(name, strconv.Itoa(port)))
	if err != nil {
		return nil, f.failure(err)
	}
	giveUpUnanswered(conn)
	return conn, nil
}

// addressFilter applies the policy to the addresses that one dial tries. IPv4 and
// IPv6 are tried at the same time.
type addressFilter struct {
	ruling ruling
	self   func(netip.AddrPort) bool // may be nil
	names  *names                    // nil if the machine's own DNS servers were asked
	host   string
	port   int

	mu      sync.Mutex
	passed  bool  // an allowed address was tried; guarded by mu
	refused error // of the first refused address; guarded by mu
}

// control is a net.Dialer's ControlContext: an error keeps the address from
// being connected to, and the dialer tries the next.
func (f *addressFilter) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address to dial: %w", err)
	}
	err = f.checkLoop(at)
	if err == nil {
		err = f.ruling.check(f.host, f.port, at.Addr())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.passed = true
	} else if f.refused == nil {
		f.refused = err
	}
	return err
}

// failure returns the refusal if no address was allowed, else why the allowed ones
// could not be reached. The dialer itself returns its first error, which may be
// the refusal of one address of several.
func (f *addressFilter) failure(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var refused *RefusedError
	switch {
	case f.refused == nil:
		return err
	case !f.passed:
		return f.refused
	case errors.As(err, &refused):
		return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("no allowed address of %s can be connected to", f.host)}
	}
	return err
}

// errClosed says that a host closed the connection instead of answering.
var errClosed = errors.New("it closed the connection without an answer")

// explain turns an error of connecting or of waiting for an answer into one of
// this package's.
func explain(ctx context.Context, hostport string, err error) error {
	var refused *RefusedError
	var upstream *UpstreamError
	var away *UnreachableError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrOffline):
		return ErrOffline
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &upstream):
		return upstream
	case errors.As(err, &away):
		return away
	case errors.Is(err, io.EOF): // which would be read as the end of a file
		err = errClosed
	}
	return &UnreachableError{Host: hostport, Err: err}
}
