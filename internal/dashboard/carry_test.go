package dashboard

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/carry"
	"millpond/internal/jobs"
)

// carried is a Carrier.
type carried struct {
	state   carry.State
	fault   error
	request carry.Request
	asked   jobs.Kind
	stopped jobs.Kind
}

func (c *carried) Start(r carry.Request) (carry.State, error) {
	c.request = r
	return c.state, c.fault
}
func (c *carried) Stop(k jobs.Kind) { c.stopped = k }
func (c *carried) State(k jobs.Kind) carry.State {
	c.asked = k
	return c.state
}

const wantText = `millpond want-list 1
suite http://deb.example.org/debian/dists/stable -
index main/binary-amd64/Packages
end 2
`

func TestCarry(t *testing.T) {
	t.Parallel()
	c := new(carried)
	r := newRig(t, func(o *Options) { o.Carrier = c })
	list, err := carry.ReadWantList(strings.NewReader(wantText))
	if err != nil {
		t.Fatal(err)
	}
	for kind, k := range map[jobs.Kind]struct {
		body string
		want carry.Request
	}{
		jobs.Import: {`{"dirs": ["/a", "/b"], "as": "http://deb.example.org/debian"}`, carry.Request{Kind: jobs.Import, Dirs: []string{"/a", "/b"}, As: "http://deb.example.org/debian"}},
		jobs.Export: {`{"dir": "/a", "suites": ["stable"]}`, carry.Request{Kind: jobs.Export, Dirs: []string{"/a"}, Suites: []string{"stable"}}},
		jobs.Fill:   {`{"dir": "/a", "list": "` + strings.ReplaceAll(wantText, "\n", `\n`) + `"}`, carry.Request{Kind: jobs.Fill, Dirs: []string{"/a"}, List: list}},
	} {
		path := "/api/v1/" + string(kind)
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if w := r.do(t, method, path, "", k.body); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s without the token: %d", method, path, w.Code)
			}
		}
		*c = carried{state: carry.State{Running: true, Began: since, Progress: progress}}
		w := r.do(t, http.MethodPost, path, token, k.body)
		v := decode[api.Carry](t, w.Body.Bytes())
		if w.Code != http.StatusOK || !reflect.DeepEqual(c.request, k.want) {
			t.Errorf("POST %s: %d %s, requested %+v", path, w.Code, w.Body, c.request)
		}
		if !v.Running || !v.Began.Equal(since) || v.Job == nil || v.Job.Kind != string(kind) || v.Job.TotalBytes != 4 || v.Suites == nil || v.Skipped == nil {
			t.Errorf("%s under way: %+v", kind, v)
		}
		c.fault = jobs.ErrRunning
		if w := r.do(t, http.MethodPost, path, token, k.body); w.Code != http.StatusConflict {
			t.Errorf("POST %s beside another one: %d", path, w.Code)
		}
		c.fault = errors.New("no directory")
		if w := r.do(t, http.MethodPost, path, token, k.body); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "no directory") {
			t.Errorf("POST %s of what is wrong: %d %s", path, w.Code, w.Body)
		}
		c.state = carry.State{Began: since, Ended: since.Add(time.Minute), Stopped: true, Error: "x", Report: &carry.Report{
			Taken: 1, TakenBytes: 2, Held: 3, HeldBytes: 4, Linked: 5, Cloned: 6, Unlisted: 7, Missing: 8, Suites: []string{"s"},
		}}
		w = r.do(t, http.MethodGet, path, token, "")
		v = decode[api.Carry](t, w.Body.Bytes())
		want := api.Carry{
			Began: since.UTC(), Ended: since.Add(time.Minute).UTC(), Stopped: true, Error: "x",
			Taken: 1, TakenBytes: 2, Held: 3, HeldBytes: 4, Linked: 5, Cloned: 6, Unlisted: 7, Missing: 8, Suites: []string{"s"}, Skipped: []api.SkippedFile{},
		}
		v.Began, v.Ended = v.Began.UTC(), v.Ended.UTC()
		if c.asked != kind || !reflect.DeepEqual(v, want) {
			t.Errorf("the last %s is %+v", c.asked, v)
		}
		if w := r.do(t, http.MethodDelete, path, token, ""); w.Code != http.StatusNoContent || c.stopped != kind {
			t.Errorf("DELETE %s: %d, stopped %q", path, w.Code, c.stopped)
		}
	}
	if w := r.do(t, http.MethodPost, "/api/v1/fill", token, `{"dir": "/a", "list": "hello"}`); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "no want-list") {
		t.Errorf("a list that is none: %d %s", w.Code, w.Body)
	}
	if w := r.do(t, http.MethodPost, "/api/v1/fill", token, `{"dir": "/a", "list": "`+strings.Repeat("x", maxFillBody)+`"}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a list beyond the bound: %d", w.Code)
	}
}

func TestWantList(t *testing.T) {
	t.Parallel()
	list, err := carry.ReadWantList(strings.NewReader(wantText))
	if err != nil {
		t.Fatal(err)
	}
	fault := error(nil)
	r := newRig(t, func(o *Options) {
		o.WantList = func(context.Context) (*carry.WantList, error) { return list, fault }
	})
	if w := r.do(t, http.MethodGet, "/api/v1/want-list", "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", w.Code)
	}
	w := r.do(t, http.MethodGet, "/api/v1/want-list", token, "")
	got, err := carry.ReadWantList(w.Body)
	if err != nil || !reflect.DeepEqual(got, list) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%d %v: %+v, %v", w.Code, w.Header(), got, err)
	}
	fault = errors.New("no disk")
	if w := r.do(t, http.MethodGet, "/api/v1/want-list", token, ""); w.Code != http.StatusInternalServerError {
		t.Errorf("of a box that cannot: %d", w.Code)
	}
}
