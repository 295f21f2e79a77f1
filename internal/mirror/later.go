package mirror

import (
	"net/http"
	"sync"
	"time"
)

// maxLater bounds how long a Retry-After keeps the box from asking: who states
// an hour gets one request in five minutes.
const maxLater = 5 * time.Minute

// later remembers what mirrors want to be asked later; at most maxDown.
type later struct {
	mu sync.Mutex
	of map[laterKey]refusal // guarded by mu
}

// laterKey is a host that gets too many requests (429), or a file that is not to
// be had now (503): a repository may fetch it meanwhile, and have all others. The
// mirror may count by login.
type laterKey struct{ what, login string }

type refusal struct {
	until time.Time
	code  int
	body  bool
}

func (r refusal) end() time.Time { return r.until }

// laterKeys are those that a request to hostport is held to.
func laterKeys(hostport string, req *http.Request) (host, file laterKey) {
	login := req.Header.Get("Authorization")
	return laterKey{hostport, login}, laterKey{req.URL.String(), login}
}

// cause returns what the mirror answered to req, or others of its host, if it
// wants no further one yet.
func (l *later) cause(hostport string, req *http.Request) error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	host, file := laterKeys(hostport, req)
	for _, k := range []laterKey{host, file} {
		if r, ok := l.of[k]; ok && now.Before(r.until) {
			return &StatusError{URL: shown(req.URL), Code: r.code, RetryAfter: r.until.Sub(now), LoggedIn: k.login != "", Body: r.body}
		}
	}
	return nil
}

// note remembers an answer with a Retry-After.
func (l *later) note(hostport string, req *http.Request, resp *http.Response) {
	now := time.Now()
	after := min(parseRetryAfter(resp.Header.Get("Retry-After"), now), maxLater)
	key, file := laterKeys(hostport, req)
	switch {
	case after <= 0:
		return
	case resp.StatusCode == http.StatusServiceUnavailable:
		key = file
	case resp.StatusCode != http.StatusTooManyRequests:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = make(map[laterKey]refusal)
	}
	if len(l.of) >= maxDown {
		makeRoom(l.of, now)
	}
	l.of[key] = refusal{until: now.Add(after), code: resp.StatusCode, body: resp.ContentLength > 0}
}
