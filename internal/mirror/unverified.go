package mirror

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
)

// UnverifiedError says that a redirect leads to an https host whose certificate
// the box cannot verify. A client may know a certificate authority that the box does
// not know. It wraps an UnreachableError.
type UnverifiedError struct {
	URL string // where the redirect leads
	Err error
}

// Error implements error.
func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("redirect to %.300s: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *UnverifiedError) Unwrap() error { return e.Err }

// unverified returns err, of a request, as an UnverifiedError if it is one.
func unverified(req *http.Request, err error) error {
	if req.Response == nil || !isUnverified(err) || aboutProxy(err) {
		return err
	}
	return &UnverifiedError{URL: shown(req.URL), Err: err}
}

func isUnverified(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
