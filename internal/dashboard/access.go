package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"millpond/internal/api"
	"millpond/internal/front"
)

// AccessSetting is the setting that an Access comes from.
const AccessSetting = "MILLPOND_DASHBOARD_ACCESS"

// Access says who may see what the dashboard shows of a site: the API, its stream
// and the metrics. The page's own files, health, the set-up script and the box's
// identity are open: there is nothing of the site in them, and clients, probes
// and other boxes come for them by whatever name they know.
//
// Whoever owns a public name can have it lead to the box's address while a page
// under that name is open in a browser of the site (DNS rebinding): then the page
// may read what the box answers. So requests are answered under names that nobody
// can own, and under those that an administrator lists.
type Access struct {
	Names  []string       // public names, in lower case; *.domain is all names below domain
	Ranges []netip.Prefix // whose addresses may look; all if there is none
	Token  string         // to be given by those who look; "" for none
}

// guard is what stands before everything that is not open.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.IdentityPath {
			next.ServeHTTP(w, r)
			return
		}
		client := front.ClientOf(r)
		switch {
		case !d.access.names(r.Host):
			d.refuse(w, r, http.StatusMisdirectedRequest, "the name is no local one", fmt.Sprintf(
				"The box shows this under its addresses and local names only, since a web page elsewhere could have its own name lead here; %s=%s would allow this name.",
				AccessSetting, hostOf(r.Host)))
		case !d.access.covers(client):
			d.refuse(w, r, http.StatusForbidden, "the client is in no range", fmt.Sprintf(
				"%s may not see this; a range with it in %s would allow it.", client, AccessSetting))
		case d.access.Token != "" && !d.knows(w, r):
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// names reports whether the dashboard may be asked for by a Host header.
func (a Access) names(host string) bool {
	name := hostOf(host)
	if _, err := netip.ParseAddr(name); err == nil || isLocalName(name) {
		return true
	}
	return slices.ContainsFunc(a.Names, func(known string) bool {
		domain, below := strings.CutPrefix(known, "*")
		return name == known || below && strings.HasSuffix(name, domain)
	})
}

// isLocalName reports whether nobody can own a name in the public DNS: it is of one
// label, or below a domain that is reserved for local use (RFC 6762, RFC 8375,
// .internal by ICANN), used like one (.lan) or that of Kubernetes' Services. A
// browser always sends a name.
func isLocalName(name string) bool {
	if !strings.Contains(name, ".") {
		return true
	}
	for _, domain := range []string{".local", ".lan", ".internal", ".home.arpa", ".svc"} {
		if strings.HasSuffix(name, domain) {
			return true
		}
	}
	return false
}

// hostOf is the name in a Host header, in lower case.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]") // an IPv6 address without a port
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (a Access) covers(client netip.Addr) bool {
	return len(a.Ranges) == 0 || slices.ContainsFunc(a.Ranges, func(p netip.Prefix) bool { return p.Contains(client) })
}

// knows reports whether a request has the token for reading, or the admin token.
// If not, it has been answered. Browsers ask for the token themselves, as a
// password; all they send later has it too, the page's stream among it.
func (d *Dashboard) knows(w http.ResponseWriter, r *http.Request) bool {
	token, bearer := bearerOf(r)
	given := bearer
	if !bearer {
		_, token, given = r.BasicAuth()
	}
	if given && (equal(token, d.access.Token) || d.adminToken != "" && equal(token, d.adminToken)) {
		return true
	}
	if given && !d.wrongToken(w, r, token) {
		w.Header().Set("Retry-After", retryAfter)
		deny(w, r, http.StatusTooManyRequests, tooMany)
		return false
	}
	if !bearer {
		w.Header().Add("WWW-Authenticate", `Basic realm="millpond: the token as the password, any user name", charset="UTF-8"`)
	}
	w.Header().Add("WWW-Authenticate", `Bearer realm="millpond"`)
	deny(w, r, http.StatusUnauthorized, "This needs the token in "+AccessSetting+", as a password with any user name or as a bearer token.")
	return false
}

// bearerOf is a request's bearer token (RFC 6750), and whether it has one.
func bearerOf(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "Bearer")
}

// equal takes the same time whatever token it is, of whatever length.
func equal(token, want string) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// refuse answers a request that a setting would allow.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, status int, cause, detail string) {
	id := front.NewRequestID()
	d.log.Info("dashboard refused", "request", id, "client", front.ClientOf(r), "host", short(r.Host, maxText), "err", cause, "setting", AccessSetting)
	w.Header().Set(front.RequestID, id)
	deny(w, r, status, detail)
}

// deny answers as the API does, or with a line of text elsewhere.
func deny(w http.ResponseWriter, r *http.Request, status int, detail string) {
	w.Header().Set("Cache-Control", "no-store")
	if !strings.HasPrefix(r.URL.Path, apiRoot) {
		http.Error(w, detail, status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem(status, detail)) // a client that disconnected is no error
}
