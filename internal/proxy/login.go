package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"

	"millpond/internal/mirror"
)

// authFile is the setting with the box's own logins.
const authFile = "MILLPOND_AUTH_FILE"

// loginError is a mirror's 401 to a client that cannot answer it.
type loginError struct {
	target
	status *mirror.StatusError
}

func (e *loginError) Error() string { return e.status.Error() }
func (e *loginError) Unwrap() error { return e.status }

// needsLogin returns err, the failure of a request for t, as what the client can
// do something about: of a mirror's 401, if its own login was not sent there.
// status is err's, if it has one.
func needsLogin(t target, status *mirror.StatusError, err error) error {
	if status == nil || status.Code != http.StatusUnauthorized || t.login != "" || t.named && !status.LoggedIn {
		return err
	}
	return &loginError{t, status}
}

// explain words the refusal. It has no WWW-Authenticate: a login for the box
// would be of no use.
func (e *loginError) explain() answer {
	host := e.host
	if u, err := url.Parse(e.status.URL); err == nil && u.Host != "" {
		host = u.Host // after redirects
	}
	a := answer{status: http.StatusUnauthorized, level: slog.LevelInfo, setting: authFile}
	if e.status.LoggedIn {
		a.cause = fmt.Sprintf("millpond: %s does not accept the login that the box has for it in %s", host, authFile)
		a.advice = "The box's administrator can correct the login."
		return a
	}
	a.cause = fmt.Sprintf("millpond: %s wants a login: store it in the box's %s", host, authFile)
	a.advice = "In this form of URL apt's login belongs to the box and is not passed on. " +
		"With a login in " + authFile + " the box makes the archive available to all of its clients."
	if e.scheme == "http" {
		a.cause += ", or use the box as proxy (Acquire::http::Proxy)"
		a.advice += " With the box as apt's proxy each client uses the login of its own auth.conf."
	}
	return a
}

// userInPath finds what stands before an @ in a segment of a path: in the path
// forms, where the host has one, a login.
var userInPath = regexp.MustCompile(`/[^/]*@`)

// shown is a request's URL for logs and answers, without a login and without what a
// query says, which may be one.
func shown(u *url.URL) string {
	plain := *u
	plain.User = nil
	if plain.RawQuery != "" {
		plain.RawQuery = "xxxxx"
	}
	if hidden := userInPath.ReplaceAllString(u.Path, "/xxxxx@"); hidden != u.Path {
		plain.Path, plain.RawPath = hidden, ""
	}
	return plain.String()
}
