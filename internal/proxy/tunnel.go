package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/mirror"
)

// tunnels are the open CONNECT tunnels. net/http knows nothing of them once
// their connections are hijacked, so they are tracked here.
type tunnels struct {
	shares *front.Shares
	idle   time.Duration

	mu     sync.Mutex // guards all below
	open   map[*context.CancelFunc]struct{}
	closed bool
	done   chan struct{} // closed when the last one has left after that
}

func newTunnels() tunnels {
	return tunnels{shares: front.NewShares(maxTunnels), idle: tunnelIdle, open: make(map[*context.CancelFunc]struct{}), done: make(chan struct{})}
}

// enter counts a tunnel of a client in; leave must be called. The context ends when the
// tunnel is to be cut: at the end, or for another client's. It says by progress that
// something passes.
func (t *tunnels) enter(ctx context.Context, client netip.Addr) (_ context.Context, progress, leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, nil, fetch.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	t.open[&cancel] = struct{}{}
	party := front.PartyOf(client)
	place := t.shares.Take(party, func(bool) { cancel() })
	place.Use(party)
	return ctx, place.Progress, func() {
		cancel()
		place.Leave()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, &cancel)
		if t.closed && len(t.open) == 0 {
			close(t.done)
		}
	}, nil
}

// Shutdown waits for answers that are being repeated, which the server did not wait for.
// It admits no more tunnels, waits for the open ones and, when ctx ends, cuts all of these
// and returns ctx's error.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.repeats.stop()
	return errors.Join(p.repeats.wait(ctx), p.tunnels.shutdown(ctx))
}

func (t *tunnels) shutdown(ctx context.Context) error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		if len(t.open) == 0 {
			close(t.done)
		}
	}
	t.mu.Unlock()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for cancel := range t.open {
		(*cancel)()
	}
	t.mu.Unlock()
	<-t.done
	return fmt.Errorf("tunnels were cut: %w", ctx.Err())
}

// established is the answer to a CONNECT (RFC 9110, section 9.3.6).
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// tunnel serves CONNECT.
func (p *Proxy) tunnel(w *response, r *http.Request, client netip.Addr) error {
	return p.carry(w, r, client, established, func() (net.Conn, io.Reader, error) {
		conn, buffered, err := w.control.Hijack()
		if err != nil {
			return nil, nil, fmt.Errorf("taking over a connection for a tunnel: %w", err)
		}
		return conn, buffered.Reader, nil
	})
}

// carry opens a tunnel for r, once its far end is connected to, and sends the client
// the greeting first. take returns the client's connection, and what there is to read of
// it.
func (p *Proxy) carry(w *response, r *http.Request, client netip.Addr, greeting string, take func() (net.Conn, io.Reader, error)) error {
	w.outcome.url = r.Host
	host, err := p.vetTunnel(r)
	if err != nil {
		return err
	}
	// The request's own context ends with the client's half of the stream,
	// even in a hijacked connection; the tunnel outlives that.
	ctx, progress, leave, err := p.tunnels.enter(context.WithoutCancel(r.Context()), client)
	if err != nil {
		return err
	}
	defer leave()
	upstream, err := p.dial(mirror.For(ctx, front.PartyOf(client), r.Header.Values("Via")), r.Context(), host)
	if err != nil {
		return err
	}
	defer upstream.Close()
	conn, early, err := take()
	if err != nil {
		return err
	}
	defer conn.Close()
	begun, named := time.Now(), strings.ToLower(host)
	w.status, w.outcome.what, w.outcome.first = http.StatusOK, wasTunnel, begun
	p.ledger.TunnelOpened(client, named)
	n := p.join(ctx, conn, early, greeting, upstream, func(n int64) {
		p.ledger.Tunnelled(client, named, n)
		progress()
	})
	w.written = n
	p.log.Debug("tunnel closed", "client", client, "to", host, "bytes", n, "took", time.Since(begun))
	return nil
}

// dial connects to host:port unless the tunnel is cut or the client leaves.
func (p *Proxy) dial(ctx, client context.Context, host string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(client, cancel)()
	return p.dialer.Dial(ctx, host)
}

// vetTunnel returns the host:port to connect to, if that may be asked for.
func (p *Proxy) vetTunnel(r *http.Request) (string, error) {
	allowed := p.lists.Load().tunnels
	if allowed.IsEmpty() {
		return "", errTunnelsOff
	}
	if p.looped(r) {
		return "", errLoop
	}
	host, s, err := net.SplitHostPort(r.RequestURI)
	port, perr := strconv.ParseUint(s, 10, 16)
	if err != nil || perr != nil || host == "" || strings.Contains(host, "@") || port == 0 {
		return "", &requestError{errors.New("CONNECT without host:port")}
	}
	// Policy lets everyone reach port 80, for plain requests.
	if port == 80 {
		return "", errTunnelHTTP
	}
	if !allowed.Has(host, int(port)) {
		return "", &tunnelError{r.RequestURI}
	}
	return r.RequestURI, p.policy.CheckName(host, int(port))
}

// halfCloser is a connection that can say that it sends no more.
type halfCloser interface{ CloseWrite() error }

// join lets bytes pass both ways until both sides have sent their end, nothing
// has passed for the idle limit or ctx ends, and returns their number. What
// the client sends is in early.
func (p *Proxy) join(ctx context.Context, client net.Conn, early io.Reader, greeting string, upstream net.Conn, credit func(int64)) int64 {
	sever := func() {
		client.Close()
		upstream.Close()
	}
	defer context.AfterFunc(ctx, sever)()
	idle := time.AfterFunc(p.tunnels.idle, sever)
	defer idle.Stop()
	if _, err := io.WriteString(client, greeting); err != nil {
		return 0
	}
	pass := func(to net.Conn, from io.Reader) (total int64) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				m, werr := to.Write(buf[:n])
				total += int64(m)
				credit(int64(m))
				idle.Reset(p.tunnels.idle)
				if werr != nil {
					sever()
					return total
				}
			}
			if err == nil {
				continue
			}
			if half, ok := to.(halfCloser); !ok || err != io.EOF || half.CloseWrite() != nil {
				sever()
			}
			return total
		}
	}
	var up int64
	var uploading sync.WaitGroup
	uploading.Go(func() { up = pass(upstream, early) })
	down := pass(client, upstream)
	uploading.Wait()
	return up + down
}
