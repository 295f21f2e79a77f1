package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/fetch"
	"millpond/internal/logs"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// The proxy's own errors. What they mean to a client stands in explain.
var (
	errLoop       = errors.New("the request has passed through this box before")
	errNameLoop   = errors.New("the name of an archive leads back to this box")
	errTunnelsOff = errors.New("tunnels are switched off")
	errTunnelHTTP = errors.New("a tunnel to port 80")
)

// requestError is a request that cannot be understood.
type requestError struct{ err error }

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

// methodError is a method that archives do not know.
type methodError struct{ method string }

func (e *methodError) Error() string {
	return fmt.Sprintf("method %.20q for a file of an archive", e.method)
}

// clientError is a client that may not use the box.
type clientError struct{ addr netip.Addr }

func (e *clientError) Error() string { return fmt.Sprintf("client %s may not use the box", e.addr) }

// whoseError is a request of which the proxy before the box does not say whose
// it is: Forwarded and X-Forwarded-For name different clients, or cannot be read.
type whoseError struct{}

func (whoseError) Error() string {
	return "Forwarded and X-Forwarded-For, from a proxy in MILLPOND_TRUSTED_PROXIES, leave open whose it is"
}

// pathError is a path that no archive has, of a host that may not be asked for
// anything else.
type pathError struct{ location catalog.Location }

func (e *pathError) Error() string { return fmt.Sprintf("%s is no file of an archive", e.location) }

// hostError is a word in the place of a host that cannot be told from a page.
type hostError struct{ word string }

func (e *hostError) Error() string {
	return fmt.Sprintf("a host in the path needs a dot or a port, %.60q has neither", e.word)
}

// tunnelError is a destination that tunnels must not have.
type tunnelError struct{ hostport string }

func (e *tunnelError) Error() string {
	return fmt.Sprintf("%.255s is not in %s", e.hostport, tunnelsTo)
}

// answer is what a client is told instead of the file.
type answer struct {
	status  int
	cause   string // for the status line, with the setting that would change it
	advice  string // for the body: what to do about it
	setting string // for the log
	level   slog.Level
	header  http.Header // Allow, Retry-After, WWW-Authenticate
	verdict bool        // the mirror's own word, an everyday one: passed on as it is
	// final says that to ask again is of no use. apt takes 408, 429, 500, 502,
	// 503, 504 and 599 for passing if they have a body: it asks three times, and
	// its update ends well without the file. Without a body they are an error.
	final bool
}

// Settings that a refusal names.
const (
	allowClients = "MILLPOND_ALLOW_CLIENTS"
	tunnelsOn    = "MILLPOND_TUNNELS=true"
	tunnelsTo    = "MILLPOND_TUNNELS"
	allowPath    = "MILLPOND_ALLOW_UPSTREAMS=" // host/* follows
	offline      = "MILLPOND_OFFLINE"
	upstreamVia  = "MILLPOND_UPSTREAM_PROXY"
	resolver     = "MILLPOND_RESOLVER"
)

const (
	refused      = "Refused by millpond: "
	adviceMirror = "The box does not hold this file, and the mirror is needed for it. Try again later, or use another mirror."
	adviceUpdate = "Run apt-get update again."
	adviceHTTPS  = "Without a tunnel, and cached, an https archive is reached as http://HTTPS///host/directory in sources.list."
	adviceLoop   = "An upstream or proxy leads back to this box; name the archive itself as upstream."
)

// explain is the one table from an error to what the client is told. The
// first row that fits counts: an error of fetch may wrap the mirror's.
func explain(err error) answer {
	var (
		request     *requestError
		method      *methodError
		client      *clientError
		whose       whoseError
		path        *pathError
		host        *hostError
		tunnel      *tunnelError
		forbidden   *mirror.RefusedError
		upstream    *mirror.UpstreamError
		unreachable *mirror.UnreachableError
		status      *mirror.StatusError
		broken      *mirror.AnswerError
		login       *loginError
		unverified  *mirror.UnverifiedError
		box         *fetch.PeerError
		view        *viewError
	)
	switch {
	case errors.As(err, &unverified):
		return explainUnverified(unverified)
	case errors.As(err, &view):
		return answer{status: view.status, final: true, level: slog.LevelInfo, cause: "millpond: " + view.cause, advice: view.advice}
	case errors.As(err, &request):
		return answer{status: 400, level: slog.LevelInfo, cause: refused + request.Error(),
			advice: "Write the archive as http://host/directory, without user name and fragment."}
	case errors.As(err, &method):
		return answer{status: 405, level: slog.LevelInfo, cause: refused + method.Error(),
			advice: "Archives are read with GET and HEAD.", header: http.Header{"Allow": {"GET, HEAD"}}}
	case errors.As(err, &client):
		return answer{status: 403, level: slog.LevelInfo, setting: allowClients,
			cause:  fmt.Sprintf("%sclient %s is not in %s", refused, client.addr, allowClients),
			advice: "The box's administrator can add the client's address or network to " + allowClients + "."}
	case errors.As(err, &whose):
		return answer{status: 400, level: slog.LevelWarn, cause: refused + whose.Error(),
			advice: "The proxy has to set one of the two and to remove the other one, which it may have from a client."}
	case errors.As(err, &path):
		setting := allowPath + path.location.Host + "/*"
		return answer{status: 403, level: slog.LevelInfo, setting: setting,
			cause: refused + "not an archive path, " + setting + " would allow it",
			advice: "The box serves what archives have (paths with dists/ or pool/, Release files, indices and, of an archive that it knows, every file), " +
				"and what tools ask for beside it: lists of mirrors, meta-release files, changelogs, keys and directories. " +
				"Other paths, and URLs with a query, are for hosts that the administrator names with " + setting + "."}
	case errors.As(err, &host):
		return answer{status: 403, level: slog.LevelInfo, cause: refused + host.Error(),
			advice: "Write http://BOX/archive.example.org/debian in sources.list; for a host without a dot, http://BOX/archive:80/debian."}
	case errors.As(err, &tunnel):
		return answer{status: 403, level: slog.LevelInfo, setting: tunnelsTo, cause: refused + "no tunnel, " + tunnel.Error(),
			advice: adviceHTTPS + " The box's administrator can add the host to " + tunnelsTo + "."}
	case errors.As(err, &forbidden):
		return explainRefused(forbidden)
	case errors.Is(err, errLoop):
		return answer{status: 508, level: slog.LevelWarn, cause: refused + "the request has passed through this box before",
			advice: adviceLoop}
	case errors.Is(err, errNameLoop):
		return answer{status: 508, level: slog.LevelWarn, setting: resolver, cause: refused + "the name leads back to this box, " + resolver + " has to name a DNS server that has its real address",
			advice: "The DNS leads the archive's name to the box, and the box follows it. The box's administrator has to set " + resolver +
				" to a DNS server that has the archive's real address."}
	case errors.Is(err, errTunnelsOff):
		return answer{status: 403, level: slog.LevelInfo, setting: tunnelsOn,
			cause:  refused + "CONNECT tunnels are off, " + tunnelsOn + " would allow them",
			advice: adviceHTTPS}
	case errors.Is(err, errTunnelHTTP):
		return answer{status: 403, level: slog.LevelInfo, cause: refused + "a tunnel to port 80 would go past the cache",
			advice: "Ask for the http URL itself."}
	case errors.Is(err, mirror.ErrOffline):
		return answer{status: 503, level: slog.LevelInfo, setting: offline,
			cause:  "millpond: the box is offline (" + offline + ") and does not hold this file",
			advice: "Only what the box holds is served while " + offline + " is set."}
	case errors.Is(err, fetch.ErrMoved):
		// 410 and not 503: the file does not come back, and apt would try again
		// for half a minute.
		return answer{status: 410, final: true, level: slog.LevelInfo, cause: "millpond: the mirror has moved on to another generation, run apt-get update again",
			advice: adviceUpdate}
	case errors.Is(err, fetch.ErrClosed):
		return answer{status: 503, level: slog.LevelInfo, cause: "millpond: the box is shutting down", advice: "Try again in a moment."}
	case errors.Is(err, fetch.ErrWrongBytes):
		return answer{status: 502, final: true, level: slog.LevelWarn, cause: "millpond: " + err.Error(),
			advice: adviceUpdate + " If that does not help, the mirror is broken or in the middle of its own update."}
	case errors.Is(err, fetch.ErrNoSource):
		return answer{status: 502, final: true, level: slog.LevelWarn, cause: "millpond: " + err.Error(), advice: adviceUpdate}
	case errors.Is(err, fetch.ErrNotRelease):
		return answer{status: 502, final: true, level: slog.LevelWarn, cause: "millpond: " + err.Error(),
			advice: "A captive portal or a broken mirror answers in the archive's place."}
	case errors.As(err, &login):
		return login.explain()
	case errors.As(err, &status):
		return explainStatus(status)
	case errors.As(err, &upstream):
		return answer{status: 502, final: upstream.Code != 0, level: slog.LevelWarn, setting: upstreamVia, cause: "millpond: " + upstream.Error(),
			advice: "The box reaches mirrors through the proxy that its administrator names with " + upstreamVia + ". " + adviceMirror}
	case errors.As(err, &unreachable):
		return answer{status: 502, level: slog.LevelWarn,
			cause:  fmt.Sprintf("millpond: mirror %s cannot be reached: %v", unreachable.Host, unreachable.Err),
			advice: adviceMirror}
	case errors.As(err, &broken):
		return explainBroken(broken)
	case errors.Is(err, peer.ErrStalled):
		return answer{status: 504, level: slog.LevelWarn, cause: "millpond: another box stalled, and no mirror gave the file", advice: adviceMirror}
	case errors.As(err, &box):
		return answer{status: 502, level: slog.LevelWarn, cause: "millpond: another box failed, and no mirror gave the file: " + box.Error(), advice: adviceMirror}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return answer{status: 502, level: slog.LevelWarn, cause: "millpond: cut short: " + err.Error(), advice: adviceMirror}
	case errors.Is(err, mirror.ErrStalled), errors.Is(err, context.DeadlineExceeded):
		return answer{status: 504, level: slog.LevelWarn, cause: "millpond: the mirror stalled", advice: adviceMirror}
	default:
		return answer{status: 500, level: slog.LevelError, cause: "millpond: " + err.Error(),
			advice: "This is a fault of the box; its log tells more."}
	}
}

// failure says as what a request counts that could not be served, for the dashboard:
// missing at the mirror, refused by the box or its settings, or failed. "" does not count.
func (a answer) failure() string {
	switch {
	case a.verdict && a.status < 400:
		return ""
	case a.verdict:
		return "missing"
	case a.level < slog.LevelWarn && (a.setting != "" || strings.HasPrefix(a.cause, refused)):
		return "refused"
	}
	return "failed"
}

// explainUnverified passes on a redirect that the box cannot follow: the client
// may, in a tunnel, with a certificate authority of its own.
func explainUnverified(e *mirror.UnverifiedError) answer {
	return answer{status: http.StatusFound, level: slog.LevelInfo, verdict: true,
		cause: "millpond: " + e.Error(), header: http.Header{"Location": {e.URL}}}
}

// explainRefused words a destination that policy forbids.
func explainRefused(e *mirror.RefusedError) answer {
	cause := e.Reason
	if !strings.Contains(cause, e.Host) {
		cause = "host " + e.Host + ": " + cause
	}
	a := answer{status: 403, level: slog.LevelInfo, setting: e.Setting, cause: refused + cause}
	if cure := e.Cure(); cure != "" {
		a.cause += ", " + cure
	}
	if e.Loop {
		a.status, a.level = http.StatusLoopDetected, slog.LevelWarn
		a.advice = adviceLoop
		if e.Setting != "" {
			a.advice = "The box's administrator has to set " + e.Setting + ", or to name the archive itself as upstream."
		}
		return a
	}
	if e.Setting != "" {
		a.advice = "The box's administrator can allow it with " + e.Setting + "."
	}
	return a
}

// explainStatus words what the mirror answered. That a file does not exist or
// needs a login is for the client to know; optional indices are missing all
// the time. Other errors reach the client with their status, and with a body
// only if the mirror sent one, so that apt does what it would do without the box.
// What is no error, or would be about the box or the client's range, is trouble
// between the box and the mirror.
func explainStatus(e *mirror.StatusError) answer {
	if slices.Contains([]int{401, 403, 404, 410, 451}, e.Code) {
		a := answer{status: e.Code, level: logs.Notice, verdict: true, cause: e.Error()}
		if len(e.Challenges) > 0 {
			a.header = http.Header{"Www-Authenticate": e.Challenges}
		}
		return a
	}
	a := answer{status: e.Code, final: !e.Body, level: slog.LevelWarn, cause: fmt.Sprintf("millpond: the mirror answered %d for %s", e.Code, e.URL), advice: adviceMirror}
	if e.Code < 400 || e.Code > 599 || e.Code == http.StatusProxyAuthRequired || e.Code == http.StatusRequestedRangeNotSatisfiable {
		a.status, a.final = 502, true
	}
	if e.RetryAfter > 0 {
		a.header = retryAfter(e.RetryAfter)
	}
	return a
}

// explainBroken words an answer that is no file. One that broke off may be whole
// the next time.
func explainBroken(e *mirror.AnswerError) answer {
	return answer{status: 502, final: !errors.Is(e, io.ErrUnexpectedEOF), level: slog.LevelWarn,
		cause: "millpond: mirror's " + e.Error(), advice: adviceMirror}
}

func retryAfter(d time.Duration) http.Header {
	seconds := int64((d + time.Second - 1) / time.Second)
	return http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}}
}
