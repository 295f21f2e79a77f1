package mirror

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// tunnelTimeout is how long the upstream proxy may take to open a tunnel. apt
	// waits as long for the answer to a CONNECT.
	tunnelTimeout = 30 * time.Second
	// maxProxyConns is for the requests by http to all mirrors together, of which
	// some may be slow; it is four such mirrors' worth.
	maxProxyConns = 320
)

// viaProxy sends requests through the upstream proxy. Its dialers connect to the
// proxy and to nothing else. The proxy may be anywhere: the administrator named it.
type viaProxy struct {
	http  *http.Transport // for http: the proxy sends the request itself
	https *http.Transport // for https: by a tunnel, in which TLS is spoken with the mirror
}

func (c *Client) newViaProxy() *viaProxy {
	if !c.policy.upstream.isSet() {
		return nil
	}
	v := viaProxy{
		http: c.newTransport(func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialProxy(ctx) }),
		https: c.newTransport(func(ctx context.Context, _, hostport string) (net.Conn, error) {
			return c.tunnel(ctx, hostport)
		}),
	}
	// For a proxy by https, dialProxy speaks the TLS.
	proxy := &url.URL{Scheme: "http", Host: c.policy.upstream.String()}
	if c.policy.upstream.user != nil {
		proxy.User = c.policy.upstream.user()
	}
	v.http.Proxy = http.ProxyURL(proxy)
	v.http.MaxConnsPerHost, v.http.MaxIdleConnsPerHost = maxProxyConns, maxIdleConns
	return &v
}

func (v *viaProxy) close() {
	if v != nil {
		v.http.CloseIdleConnections()
		v.https.CloseIdleConnections()
	}
}

// transport is what sends requests for u.
func (v *viaProxy) transport(u *url.URL) *http.Transport {
	if u.Scheme == "https" {
		return v.https
	}
	return v.http
}

// leadsThrough reports whether requests for u go through the upstream proxy.
func (c *Client) leadsThrough(u *url.URL) bool {
	host, port, err := destinationOf(u)
	return err == nil && c.policy.upstream.leadsTo(host, port)
}

// proxyAway returns why u is not requested, if it is reached through the upstream
// proxy and that did not answer shortly before; else nil.
func (c *Client) proxyAway(u *url.URL) error {
	up := c.policy.upstream.String()
	if cause := c.proxyDown.cause(up); cause != nil && c.leadsThrough(u) {
		return &UpstreamError{Proxy: up, Err: cause}
	}
	return nil
}

// nameProxy adds to an error about the mirror of u that the upstream proxy is on the
// way to it, which may be what failed.
func (c *Client) nameProxy(u *url.URL, err error) error {
	var away *UnreachableError
	if errors.As(err, &away) && c.leadsThrough(u) && !strings.Contains(away.Err.Error(), upstreamProxy) {
		return &UnreachableError{Host: away.Host, Err: fmt.Errorf("through %v (%s): %w", c.policy.upstream, upstreamProxy, away.Err)}
	}
	return err
}

// proxyError returns the error for an answer to a request for u, of hostport, that
// the upstream proxy made itself, or nil for the mirror's answer.
func (c *Client) proxyError(u *url.URL, hostport string, resp *http.Response) error {
	if !c.leadsThrough(u) || madeByProxy(resp) == "" {
		return nil
	}
	return c.policy.upstream.refusal(resp, hostport)
}

// dialProxy connects to the upstream proxy.
func (c *Client) dialProxy(ctx context.Context) (net.Conn, error) {
	if err := c.mayLeave(); err != nil {
		return nil, err
	}
	up := &c.policy.upstream
	d := net.Dialer{Timeout: c.connectTimeout, Resolver: c.resolver}
	conn, err := c.dial(ctx, d, "tcp", up.String())
	if err != nil {
		return nil, &UpstreamError{Proxy: up.String(), Err: err}
	}
	giveUpUnanswered(conn)
	if up.tls {
		return c.secure(ctx, conn)
	}
	c.proxyDown.clear(up.String())
	return conn, nil
}

// secure begins TLS with the upstream proxy.
func (c *Client) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	up := &c.policy.upstream
	config := &tls.Config{}
	if c.proxyTLS != nil {
		config = c.proxyTLS.Clone()
	}
	config.ServerName = up.host
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, c.connectTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &UpstreamError{Proxy: up.String(), Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	c.proxyDown.clear(up.String())
	return secure, nil
}

// tunnel connects to hostport by a CONNECT to the upstream proxy.
func (c *Client) tunnel(ctx context.Context, hostport string) (net.Conn, error) {
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("dialling %.300q: %w", hostport, err)
	}
	if err := c.admit(ctx, host, port); err != nil {
		return nil, err
	}
	conn, err := c.dialProxy(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.openTunnel(ctx, conn, net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// openTunnel has the proxy behind conn connect it with hostport.
func (c *Client) openTunnel(ctx context.Context, conn net.Conn, hostport string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tunnelTimeout, &net.OpError{
		Op: "dial", Net: "tcp", Err: fmt.Errorf("the upstream proxy %v (%s) does not answer CONNECT", c.policy.upstream, upstreamProxy),
	})
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	resp, err := c.sendConnect(ctx, conn, hostport)
	if !stop() { // conn is closed, or is about to be
		return context.Cause(ctx)
	}
	if err != nil {
		return &UpstreamError{Proxy: c.policy.upstream.String(), Err: fmt.Errorf("CONNECT: %w", err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return c.policy.upstream.refusal(resp, hostport)
	}
	return nil
}

func (c *Client) sendConnect(ctx context.Context, conn net.Conn, hostport string) (*http.Response, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostport}, Host: hostport, Header: c.headersFor(ctx)}
	req.Header.Del("Accept-Encoding")
	if login := c.policy.upstream.login(); login != "" {
		req.Header.Set("Proxy-Authorization", string(login))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	head, err := readHead(conn)
	if err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), req)
}

// readHead reads the header of an answer and nothing beyond it, which is the
// tunnel's.
func readHead(r io.Reader) ([]byte, error) {
	var head []byte
	for b := make([]byte, 1); len(head) < maxHeader; {
		_, err := io.ReadFull(r, b)
		if errors.Is(err, io.EOF) {
			err = errClosed
		}
		if err != nil {
			return nil, err
		}
		head = append(head, b[0])
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return head, nil
		}
	}
	return nil, fmt.Errorf("a header longer than %d bytes", maxHeader)
}

// madeByProxy describes an answer that the upstream proxy made itself, "" if it may
// be the mirror's. Squid and tinyproxy mark their own; of other proxies only a 407 is
// certainly one.
func madeByProxy(resp *http.Response) string {
	code := resp.StatusCode
	squid := resp.Header.Get("X-Squid-Error")
	switch {
	case code < 400:
		return ""
	case squid != "":
		return fmt.Sprintf("%d %.80s", code, squid)
	case code == http.StatusProxyAuthRequired, strings.HasPrefix(resp.Header.Get("Server"), "tinyproxy/"):
		return fmt.Sprintf("%d %s", code, http.StatusText(code))
	}
	return ""
}

// refusal returns the error for the proxy's own answer to a request for hostport. A
// 5xx means that the mirror does not answer.
func (u *Upstream) refusal(resp *http.Response, hostport string) error {
	what := madeByProxy(resp)
	if what == "" { // to CONNECT
		what = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if resp.StatusCode < 500 {
		return &UpstreamError{Proxy: u.String(), Code: resp.StatusCode, Err: u.reason(resp.StatusCode, what, hostport)}
	}
	err := fmt.Errorf("the upstream proxy %v (%s) answers %s", *u, upstreamProxy, what)
	switch squid, _, _ := strings.Cut(resp.Header.Get("X-Squid-Error"), " "); squid {
	case "ERR_CONNECT_FAIL", "ERR_DNS_FAIL", "ERR_CANNOT_FORWARD", "":
		// As if the box itself could not connect to it.
		err = &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return &UnreachableError{Host: hostport, Err: err}
}

// reason says what the proxy refuses.
func (u *Upstream) reason(code int, what, hostport string) error {
	switch {
	case code != http.StatusProxyAuthRequired && code != http.StatusUnauthorized: // as tinyproxy says it
		return fmt.Errorf("it answers %s for %s", what, hostport)
	case u.user == nil:
		return fmt.Errorf("it wants a login (%d): set http://user:password@%v", code, u)
	}
	return fmt.Errorf("it does not accept the login (%d)", code)
}
