package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"millpond/internal/api"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/store"
)

func TestPurgeRequests(t *testing.T) {
	t.Parallel()
	var asked fetch.Scope
	var from digest.Digest
	r := newRig(t, func(o *Options) {
		f := o.Fetch.(downloads)
		f.purged = func(s fetch.Scope, d digest.Digest) { asked, from = s, d }
		o.Fetch = f
	})
	next := digest.Of(nil).String()
	for body, want := range map[string]fetch.Scope{
		`{"what":"Archive.example.org"}`:                            {Host: "archive.example.org"},
		`{"what":"archive.example.org/"}`:                           {Host: "archive.example.org"},
		`{"what":"https://archive.example.org:8443/debian/pool//"}`: {Host: "archive.example.org:8443", Path: "/debian/pool"},
		`{"what":"archive.example.org/debian/a/../x_1%2b2.deb"}`:    {Host: "archive.example.org", Path: "/debian/x_1+2.deb"},
	} {
		w := r.do(t, http.MethodPost, "/api/v1/purge", token, body)
		got := decode[api.Purged](t, w.Body.Bytes())
		if w.Code != http.StatusOK || asked != want || !from.IsZero() || got.Next != next || got.Files != 2 || got.Bytes != 300 || got.Pinned != 1 || got.Host != want.Host {
			t.Errorf("%s: %d %+v, asked for %+v from %v", body, w.Code, got, asked, from)
		}
	}
	w := r.do(t, http.MethodPost, "/api/v1/purge", token, fmt.Sprintf(`{"what":"archive.example.org","after":%q}`, next))
	if got := decode[api.Purged](t, w.Body.Bytes()); got.Next != "" || from.String() != next {
		t.Errorf("going on: %+v from %v", got, from)
	}
	asked = fetch.Scope{}
	for _, body := range []string{`{"what":""}`, `{"what":"/debian"}`, `{"what":"ftp://archive.example.org"}`, `{"what":"bob@archive.example.org"}`, `{"what":"a b"}`, `{"what":"archive.example.org","after":"x"}`, `{}`} {
		if w := r.do(t, http.MethodPost, "/api/v1/purge", token, body); w.Code != http.StatusBadRequest || asked != (fetch.Scope{}) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := r.do(t, http.MethodPost, "/api/v1/purge", "", `{"what":"archive.example.org"}`); w.Code != http.StatusUnauthorized || asked != (fetch.Scope{}) {
		t.Errorf("without the token: %d", w.Code)
	}
}

// Files are pinned by package, name and digest, up to a limit.
func TestPinRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	pinned := func(d digest.Digest) bool {
		info, err := r.store.Stat(d)
		if err != nil {
			t.Fatal(err)
		}
		return info.Pinned
	}
	for _, what := range []string{"bash", "bash_5.2-1_amd64.deb", r.deb.String(), strings.ToUpper(r.deb.String())} {
		for _, action := range []string{"pin", "unpin"} {
			want := action == "pin"
			w := r.do(t, http.MethodPost, "/api/v1/"+action, token, fmt.Sprintf(`{"what":%q}`, what))
			got := decode[api.PinResult](t, w.Body.Bytes())
			if w.Code != http.StatusOK || len(got.Files) != 1 || got.Files[0].Pinned != want || pinned(r.deb) != want || pinned(r.loose) {
				t.Errorf("%s %s: %d %s", action, what, w.Code, w.Body)
			}
		}
	}
	for _, what := range []string{"zsh", "bas", "", digest.Of([]byte("nothing")).String()} {
		w := r.do(t, http.MethodPost, "/api/v1/pin", token, fmt.Sprintf(`{"what":%q}`, what))
		if w.Code != http.StatusNotFound {
			t.Errorf("%q: %d %s", what, w.Code, w.Body)
		}
	}
	if w := r.do(t, http.MethodPost, "/api/v1/pin", "", `{"what":"bash"}`); w.Code != http.StatusUnauthorized || pinned(r.deb) {
		t.Errorf("without the token: %d", w.Code)
	}
}

// full is a store of which nearly all is pinned.
type full struct{ Store }

func (s full) Usage() store.Usage {
	u := s.Store.Usage()
	u.QuotaBytes, u.Pinned = 800, 695
	return u
}

func TestPinsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Store = full{o.Store} })
	for _, request := range []string{"POST /api/v1/pin", "PUT /api/v1/blobs/" + r.deb.String() + "/pin"} {
		method, path, _ := strings.Cut(request, " ")
		w := r.do(t, method, path, token, `{"what":"bash"}`)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "700 B is the limit") || !strings.Contains(w.Body.String(), "MILLPOND_CACHE_SIZE") {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
		if info, err := r.store.Stat(r.deb); err != nil || info.Pinned {
			t.Errorf("%s: pinned %v, %v", request, info.Pinned, err)
		}
	}
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"archive.example.org", "https://a.example:8443/debian//", "a/../b", "[fd00::1]/x", "://", "a/%2e%2e/%00", "HTTP://A.example/?x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, what string) {
		s, err := ParseScope(what)
		if err != nil {
			return
		}
		if s.Host == "" || s.Path != "" && (s.Path[0] != '/' || s.Path[len(s.Path)-1] == '/') {
			t.Errorf("%q: %+v", what, s)
		}
	})
}
