package dashboard

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/jobs"
	"millpond/internal/verify"
)

// someJobs are Jobs.
type someJobs []jobs.Job

func (s someJobs) All() []jobs.Job { return s }

// checks is a Verifier.
type checks struct {
	state verify.State
	fault error
	scope verify.Scope
	ended bool
}

func (c *checks) Start(s verify.Scope) (verify.State, error) {
	c.scope = s
	return c.state, c.fault
}
func (c *checks) Stop()               { c.ended = true }
func (c *checks) State() verify.State { return c.state }

var progress = jobs.Progress{
	Began: since, Done: jobs.Amount{Files: 1, Bytes: 2}, Total: jobs.Amount{Files: 3, Bytes: 4}, Rate: 5.5, Left: 6 * time.Second, Known: true,
}

func TestJobs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if got := get[api.JobList](t, r, "/api/v1/jobs"); got.Jobs == nil || len(got.Jobs) != 0 {
		t.Errorf("a box that does nothing: %+v", got)
	}
	r = newRig(t, func(o *Options) {
		o.Jobs = someJobs{{Kind: jobs.Backup, Progress: jobs.Progress{Began: since}}, {Kind: jobs.Verify, Progress: progress}}
	})
	got := get[api.JobList](t, r, "/api/v1/jobs").Jobs
	if len(got) != 2 || got[0].Kind != "backup" || got[0].Left != nil {
		t.Fatalf("jobs are %+v", got)
	}
	if j := got[1]; j.Kind != "verify" || !j.Began.Equal(since) || j.Files != 1 || j.Bytes != 2 || j.TotalFiles != 3 || j.TotalBytes != 4 || j.Rate != 5 || j.Left == nil || *j.Left != 6 {
		t.Errorf("the check is %+v", j)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	c := new(checks)
	r := newRig(t, func(o *Options) { o.Verifier = c })
	if v := get[api.Verify](t, r, "/api/v1/verify"); v.Running || v.Job != nil || v.Found == nil || !v.Began.IsZero() {
		t.Errorf("before the first: %+v", v)
	}
	c.state = verify.State{Running: true, Progress: progress, Pass: verify.Pass{
		Scope: verify.Scope{Host: "deb.example.org", Path: "/debian"}, Began: since, Files: 1, Bytes: 2, Damaged: 3, DamagedBytes: 4,
		Fetched: 5, NotAvailable: 6, Waiting: 7, Unlisted: 8, Unreadable: 9, Stopped: true, Error: "x",
		Found: []verify.Found{{Digest: "d", Name: "n", Size: 1, Outcome: verify.NotAvailable, Why: "404"}},
	}}
	w := r.do(t, http.MethodPost, "/api/v1/verify", token, `{"what": "http://deb.example.org/debian/"}`)
	v := decode[api.Verify](t, w.Body.Bytes())
	if w.Code != http.StatusOK || c.scope != (verify.Scope{Host: "deb.example.org", Path: "/debian"}) {
		t.Errorf("begun: %d, of %+v", w.Code, c.scope)
	}
	if !v.Running || v.Host != "deb.example.org" || v.Path != "/debian" || v.Files != 1 || v.Bytes != 2 || v.Damaged != 3 || v.DamagedBytes != 4 || v.Fetched != 5 ||
		v.NotAvailable != 6 || v.Waiting != 7 || v.Unlisted != 8 || v.Unreadable != 9 || !v.Stopped || v.Error != "x" ||
		v.Job == nil || v.Job.TotalBytes != 4 || len(v.Found) != 1 || v.Found[0] != (api.DamagedFile{Digest: "d", Name: "n", Size: 1, Outcome: "not available", Why: "404"}) {
		t.Errorf("under way: %+v", v)
	}
	for body, want := range map[string]int{"": 200, "{}": 200, `{"what": "no host"}`: 400, `{"what": 1}`: 400} {
		if w := r.do(t, http.MethodPost, "/api/v1/verify", token, body); w.Code != want {
			t.Errorf("with %q: %d, want %d: %s", body, w.Code, want, w.Body)
		}
	}
	if w := r.do(t, http.MethodPost, "/api/v1/verify", "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", w.Code)
	}
	if w := r.do(t, http.MethodDelete, "/api/v1/verify", "", ""); w.Code != http.StatusUnauthorized || c.ended {
		t.Errorf("stopped without the token: %d", w.Code)
	}
	if w := r.do(t, http.MethodDelete, "/api/v1/verify", token, ""); w.Code != http.StatusNoContent || !c.ended {
		t.Errorf("stopped: %d", w.Code)
	}
	c.fault = verify.ErrRunning
	if w := r.do(t, http.MethodPost, "/api/v1/verify", token, ""); w.Code != http.StatusConflict {
		t.Errorf("while another one runs: %d", w.Code)
	}
}

func someBackup(use func(int64, func(io.Writer) error) error) error {
	return use(6, func(w io.Writer) error {
		_, err := io.WriteString(w, "backup")
		return err
	})
}

func TestBackup(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w := r.do(t, http.MethodPost, "/api/v1/backup", token, "")
	if w.Code != http.StatusOK || w.Body.String() != "backup" || w.Header().Get("Content-Length") != "6" || w.Header().Get("Content-Type") != "application/x-tar" {
		t.Errorf("a backup: %d, %q, %v", w.Code, w.Body, w.Header())
	}
	if w := r.do(t, http.MethodPost, "/api/v1/backup", "", ""); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "backup") {
		t.Errorf("without the token: %d %s", w.Code, w.Body)
	}
	for fault, want := range map[error]int{jobs.ErrRunning: http.StatusConflict, errors.New("the disk is away"): http.StatusInternalServerError} {
		r := newRig(t, func(o *Options) {
			o.Backup = func(func(int64, func(io.Writer) error) error) error { return fault }
		})
		if w := r.do(t, http.MethodPost, "/api/v1/backup", token, ""); w.Code != want {
			t.Errorf("%v: %d, want %d", fault, w.Code, want)
		}
	}
	// One that breaks off in the middle is not whole for whoever reads it.
	r = newRig(t, func(o *Options) {
		o.Backup = func(use func(int64, func(io.Writer) error) error) error {
			return use(6, func(w io.Writer) error {
				_, err := io.WriteString(w, "bac")
				return errors.Join(err, errors.New("the disk is away"))
			})
		}
	})
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a backup that broke off: %q, %v", got, err)
	}
}
