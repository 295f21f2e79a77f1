package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
)

func TestRejectedRelease(t *testing.T) {
	t.Parallel()
	const path, suite = "/api/v1/suites/accept", "http://deb.example.org/debian/dists/trixie"
	id := digest.Of([]byte("an older Release"))
	var answer error
	var accepted []string
	f := downloads{checked: since, rejected: fetch.Rejected{
		Digest: id, Date: since.Add(-time.Hour), Mirror: "http://a.example/debian", Why: "older", First: since, Last: since.Add(time.Minute),
	}, accept: func(l catalog.Location, d digest.Digest) error {
		accepted = append(accepted, l.String()+" "+d.String())
		return answer
	}}
	r := newRig(t, func(o *Options) { o.Fetch = f })
	got := get[api.Page[api.Suite]](t, r, "/api/v1/suites").Items[0].Rejected
	if got == nil || got.Digest != id.String() || !got.Date.Equal(since.Add(-time.Hour)) || got.Mirror != "http://a.example/debian" ||
		got.Reason != "older" || !got.First.Equal(since) || !got.Last.Equal(since.Add(time.Minute)) {
		t.Errorf("rejected: %+v", got)
	}
	right := fmt.Sprintf(`{"suite": %q, "digest": %q}`, suite, id)
	for _, tt := range []struct {
		name, token, body string
		err               error
		code              int
		asked             bool
		says              string
	}{
		{"without the token", "", right, nil, http.StatusUnauthorized, false, "token"},
		{"no digest", token, `{"suite": "` + suite + `"}`, nil, http.StatusBadRequest, false, "digest"},
		{"no such digest", token, `{"suite": "` + suite + `", "digest": "1"}`, nil, http.StatusBadRequest, false, "digest"},
		{"no URL", token, `{"suite": "trixie", "digest": "` + id.String() + `"}`, nil, http.StatusBadRequest, false, "suite"},
		{"not rejected", token, right, fetch.ErrNotRejected, http.StatusNotFound, true, "nothing to accept"},
		{"not there", token, right, errors.New("the mirror is away"), http.StatusConflict, true, "the mirror is away"},
		{"accepted", token, right, nil, http.StatusNoContent, true, ""},
	} {
		answer, accepted = tt.err, nil
		w := r.do(t, http.MethodPost, path, tt.token, tt.body)
		if w.Code != tt.code || (len(accepted) == 1) != tt.asked || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d, accepted %q: %s", tt.name, w.Code, accepted, w.Body)
		}
		if tt.asked && accepted[0] != suite+" "+id.String() {
			t.Errorf("%s: accepted %q", tt.name, accepted)
		}
	}
}

// A suite says which box asked its mirror, if another one did.
func TestSuiteCheckedByAnotherBox(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"", "12D3KooWOther"} {
		r := newRig(t, func(o *Options) { o.Fetch = downloads{checked: since, checkedBy: by} })
		if got := get[api.Page[api.Suite]](t, r, "/api/v1/suites").Items[0].CheckedBy; got != by {
			t.Errorf("checked by %q, want %q", got, by)
		}
	}
}
