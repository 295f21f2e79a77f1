package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ErrOffline says that MILLPOND_OFFLINE is set; nothing was sent.
var ErrOffline = errors.New("the box is offline (MILLPOND_OFFLINE)")

// ErrStalled says that no byte of a body arrived for Options.StallTimeout.
var ErrStalled = errors.New("the mirror stalled")

// ErrSlow says that a mirror was asked with Request.Patience and had not answered
// by then. It may yet, for who waits longer.
var ErrSlow = errors.New("no answer yet")

// RefusedError says that the policy forbids a destination; nothing was sent to
// it.
type RefusedError struct {
	Host   string // as requested, with the port if that was the reason
	Addr   string // the address it resolved to, if that was the reason
	Reason string
	// Setting is what would allow it: MILLPOND_ALLOW_UPSTREAMS=10.1.2.3, or the
	// name of a setting alone, whose list lacks it; empty if nothing would.
	Setting string
	Loop    bool // it is this box itself
}

// Cure says what would allow the destination, "" if the reason says it.
func (e *RefusedError) Cure() string {
	if !strings.Contains(e.Setting, "=") {
		return ""
	}
	return e.Setting + " would allow it"
}

// Error implements error.
func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "upstream %s is refused: %s", e.Host, e.Reason)
	if cure := e.Cure(); cure != "" {
		b.WriteString("; " + cure)
	}
	return b.String()
}

// UnreachableError says that a host gave no HTTP answer: its name does not
// resolve, or connecting, TLS or the wait for the answer's header failed.
type UnreachableError struct {
	Host string // host:port
	Err  error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s does not answer: %v", e.Host, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// UpstreamError says that the upstream proxy could not be reached, or refused its
// part: the mirror was not asked.
type UpstreamError struct {
	Proxy string // host:port
	Code  int    // of its answer; 0 if there was none
	Err   error
}

// Error implements error.
func (e *UpstreamError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("the upstream proxy %s (%s) does not answer: %v", e.Proxy, upstreamProxy, e.Err)
	}
	return fmt.Sprintf("the upstream proxy %s (%s) refuses: %v", e.Proxy, upstreamProxy, e.Err)
}

// Unwrap returns the cause.
func (e *UpstreamError) Unwrap() error { return e.Err }

// aboutProxy reports whether err says nothing of any mirror: the upstream proxy does
// not answer or does not accept the box.
func aboutProxy(err error) bool {
	var upstream *UpstreamError
	return errors.As(err, &upstream) && (upstream.Code == 0 || upstream.Code == http.StatusProxyAuthRequired || upstream.Code == http.StatusUnauthorized)
}

// ErrRange says that the answer to a request for a range is no such range: what
// is wanted has to be requested as a whole.
var ErrRange = errors.New("the answer to a request for a range is another")

// AnswerError says that what a mirror answered is no file, or broke off. It wraps
// the cause.
type AnswerError struct {
	URL string // after redirects, as far as they were followed
	Err error
}

// Error implements error.
func (e *AnswerError) Error() string { return fmt.Sprintf("answer for %.300s: %v", e.URL, e.Err) }

// Unwrap returns the cause.
func (e *AnswerError) Unwrap() error { return e.Err }

// StatusError says that the mirror answered, with none of 200, 206 and 304.
type StatusError struct {
	URL        string // after redirects
	Code       int
	RetryAfter time.Duration // as the mirror stated, at most a day; 0 if it did not
	LoggedIn   bool          // the request had a login
	Challenges []string      // the mirror's WWW-Authenticate fields
	Body       bool          // the answer had a body, which means something to apt
}

// Error implements error.
func (e *StatusError) Error() string {
	text := http.StatusText(e.Code)
	if text == "" {
		text = "(no standard status)"
	}
	if e.RetryAfter > 0 {
		return fmt.Sprintf("%s: the mirror says %d %s, try again after %v", e.URL, e.Code, text, e.RetryAfter)
	}
	return fmt.Sprintf("%s: the mirror says %d %s", e.URL, e.Code, text)
}

// IsAbsent reports whether err says that the mirror does not have the file, or not any
// more. Servers of buckets answer 403 for that.
func IsAbsent(err error) bool {
	var status *StatusError
	return errors.As(err, &status) &&
		(status.Code == http.StatusNotFound || status.Code == http.StatusGone || status.Code == http.StatusForbidden)
}

// IsUnreachable reports whether err means that the mirror could not be reached,
// so that what is held may be served instead: the upstream proxy's word that it
// cannot, or will not, does. The mirror's own 404, or a refusal by the policy, does
// not; a 408 and a 429 are about the moment.
func IsUnreachable(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code >= 500 || status.Code == http.StatusTooManyRequests || status.Code == http.StatusRequestTimeout
	}
	var refused *RefusedError
	return !errors.As(err, &refused)
}

// asAnswerError makes an AnswerError of what http.Client finds wrong with an answer,
// a redirect that leads nowhere for instance.
func asAnswerError(ctx context.Context, r Request, err error) error {
	var refused *RefusedError
	var away *UnreachableError
	var status *StatusError
	var upstream *UpstreamError
	if ctx.Err() != nil || errors.Is(err, ErrOffline) || errors.As(err, &refused) || errors.As(err, &away) || errors.As(err, &status) || errors.As(err, &upstream) {
		return err
	}
	return &AnswerError{URL: r.URL, Err: err}
}
