package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// hop sends one request, to the host of its URL and no further. Redirects are
// followed above it, so each host on the way is checked and metered by itself.
type hop struct{ c *Client }

// RoundTrip implements http.RoundTripper. The body of an answer that is no file
// has been read, within limits, and dropped; its ContentLength is what was read.
func (h hop) RoundTrip(req *http.Request) (*http.Response, error) {
	host, port, err := destinationOf(req.URL)
	if err != nil {
		return nil, err
	}
	hostport := net.JoinHostPort(host, strconv.Itoa(port))
	if err := h.c.mayAsk(req, host, port, hostport); err != nil {
		return nil, err
	}
	for {
		resp, err := h.c.ask(req, host, port, hostport)
		if !errors.Is(err, ErrGaveWay) {
			return resp, err
		}
		// Nothing has come yet, so it waits for the next turn.
	}
}

// ask sends req when it is its turn. The error is ErrGaveWay if it gave way to
// another party before the answer.
func (c *Client) ask(req *http.Request, host string, port int, hostport string) (*http.Response, error) {
	f := fileOf(req, host, port)
	to := File{Host: meterName(req.URL.Scheme, host, port), Path: f.Path}
	ctx, cancel := context.WithCancelCause(c.noteReach(req.Context(), req, host, port))
	place, leave, err := c.turns.enter(ctx, hostport, c.Limited(), func() { cancel(ErrGaveWay) })
	if err != nil {
		cancel(nil)
		return nil, err
	}
	counted, sent := countSent(ctx)
	resp, by6, err := c.await(counted, cancel, hostport, req)
	if err != nil {
		gaveWay := errors.Is(context.Cause(ctx), ErrGaveWay)
		if ctx.Err() == nil && isHangUp(err) {
			place.Refused()
		}
		cancel(nil)
		leave()
		c.report(to, sent, NoAnswer)
		if gaveWay {
			return nil, ErrGaveWay
		}
		return nil, unverified(req, c.nameProxy(req.URL, explain(req.Context(), hostport, err)))
	}
	answer := Answer{Host: to.Host}
	proxyErr := c.proxyError(req.URL, hostport, resp)
	if proxyErr == nil {
		c.down.clear(hostport)
		answer.Status = resp.StatusCode
	}
	c.report(to, sent, answer.Status)
	b := c.guard(ctx, cancel, f, answer, shown(req.URL), resp.Body)
	b.progress, b.leave = place.Received, leave
	if hasEnough(resp) {
		place.Refused()
	}
	if by6 { // what was lost may be lost again
		b.stalled = func() { c.silent6.note(hostport) }
	}
	resp.Body = b
	if resp.StatusCode = plainStatus(resp.StatusCode); isFile(resp.StatusCode) {
		return resp, nil
	}
	resp.ContentLength, resp.Body = b.drain(), http.NoBody
	if proxyErr != nil {
		return nil, proxyErr
	}
	c.later.note(hostport, req, resp)
	return resp, nil
}

// mayAsk returns why req is not sent to its host now, nil if it is: the policy, or
// that the host, or the proxy on the way to it, did not answer shortly before.
func (c *Client) mayAsk(req *http.Request, host string, port int, hostport string) error {
	if err := c.admit(req.Context(), host, port); err != nil {
		return err
	}
	if err := c.down.cause(hostport); err != nil {
		return &UnreachableError{Host: hostport, Err: err}
	}
	if err := c.proxyAway(req.URL); err != nil {
		return err
	}
	return c.later.cause(hostport, req)
}

// hasEnough reports whether an answer says that the host gets too many requests at
// once. A 503 that says when to ask again is about the file (laterKey).
func hasEnough(resp *http.Response) bool {
	return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == ""
}

// isHangUp reports whether err says that a host refused a connection, or ended it
// before it answered.
func isHangUp(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

// isFile reports whether an answer with that status has a file, or confirms one.
func isFile(code int) bool {
	return code == http.StatusOK || code == http.StatusPartialContent || code == http.StatusNotModified
}

// plainStatus is 200 for whatever means the same: apt takes every 2xx for the file,
// and proxies that inspect answers send 203.
func plainStatus(code int) int {
	switch {
	case code == http.StatusNoContent || code == http.StatusResetContent || code == http.StatusPartialContent:
		return code
	case code > http.StatusOK && code < http.StatusMultipleChoices:
		return http.StatusOK
	}
	return code
}

// patienceKey is the key of Request.Patience in a request's context.
type patienceKey struct{}

// await sends req under ctx and waits for the header of its answer.
func (c *Client) await(ctx context.Context, cancel context.CancelCauseFunc, hostport string, req *http.Request) (resp *http.Response, by6 bool, err error) {
	patience, ok := ctx.Value(patienceKey{}).(time.Duration)
	if !ok {
		return c.send(ctx, hostport, req)
	}
	over := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w after %v", ErrSlow, patience)) })
	resp, by6, err = c.send(ctx, hostport, req)
	if over.Stop() {
		return resp, by6, err
	}
	if err == nil {
		resp.Body.Close()
	}
	return nil, false, context.Cause(ctx)
}

// destinationOf returns the destination of a request. The host is canonical, so that
// one host has one entry wherever hosts are remembered.
func destinationOf(u *url.URL) (host string, port int, err error) {
	host = canonical(u.Hostname())
	switch {
	case host == "" || len(host) > maxHost:
		return "", 0, fmt.Errorf("host %.80q of a URL: want one of up to %d bytes", host, maxHost)
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("port %.20q of a URL: want a number from 1 to 65535", u.Port())
		}
		return host, int(n), nil
	}
	return host, defaultPort(u.Scheme), nil
}

func defaultPort(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}

// checkRedirect is an http.Client's CheckRedirect.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	from, to := via[len(via)-1].URL, req.URL
	switch {
	case loops(to, via):
		return fmt.Errorf("%.300s: a redirect loop: to %.300s again", shown(via[0].URL), shown(to))
	case len(via) > maxRedirects:
		return fmt.Errorf("%.300s: more than %d redirects", shown(via[0].URL), maxRedirects)
	case to.Scheme != "http" && to.Scheme != "https":
		return &RefusedError{Host: to.Host, Reason: fmt.Sprintf("redirect of %.300s to scheme %.20q; want http or https", shown(from), to.Scheme)}
	case from.Scheme == "https" && to.Scheme == "http":
		return &RefusedError{Host: to.Host, Reason: fmt.Sprintf("redirect of %.300s from https to http, where others can read and change the answer", shown(from))}
	}
	req.Header.Del("Referer") // net/http's own; it would reveal what a client fetched
	c.logInAfter(req, via[0])
	return nil
}

// loops reports whether a redirect leads back, by apt's rule: to the URL that it is
// for, or a second time to one that a redirect led to. That the first URL answers
// otherwise the second time is known of mirrors that have to fetch a file first.
func loops(to *url.URL, via []*http.Request) bool {
	again := via[min(1, len(via)-1):]
	return slices.ContainsFunc(again, func(r *http.Request) bool { return r.URL.String() == to.String() })
}

// leaveAlone marks the host that err, of a request for url, is about as down, if
// another request soon would cost time and gain nothing: it cannot be connected
// to, or has left several files unanswered. If that is the upstream proxy, it is
// marked instead of the hosts behind it. A host that accepts connections and cuts
// them answers quickly, and may do so for one file only; one that is slow may be so
// for one file, too.
func (c *Client) leaveAlone(url string, err error) {
	var away *UnreachableError
	var upstream *UpstreamError
	var op *net.OpError
	var marked bool
	switch {
	case errors.Is(err, errLeftAlone):
		return
	case errors.As(err, &upstream):
		if errors.As(err, &op) && op.Op == "dial" {
			c.proxyDown.mark(upstream.Proxy, upstream.Err, time.Now())
			c.log.Warn("the upstream proxy does not answer and is left alone for a while", "for", c.proxyDown.lasts, "err", upstream)
		}
		return
	case !errors.As(err, &away):
		return
	case errors.As(err, &op) && op.Op == "dial":
		c.down.mark(away.Host, away.Err, time.Now())
		marked = true
	case isTimeout(err):
		marked = c.down.silent(away.Host, url, away.Err, time.Now())
	}
	if marked {
		c.log.Warn("a mirror does not answer and is left alone for a while", "host", away.Host, "for", c.down.lasts, "err", away.Err)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
