package dashboard

import (
	"context"
	"errors"
	"net/http"

	"millpond/internal/api"
	"millpond/internal/fetch"
	"millpond/internal/jobs"
	"millpond/internal/verify"
)

// Jobs has long work under way; *jobs.Running.
type Jobs interface {
	All() []jobs.Job
}

// Verifier checks held files; *verify.Verifier.
type Verifier interface {
	Start(verify.Scope) (verify.State, error)
	Stop()
	State() verify.State
}

func (d *Dashboard) listJobs(context.Context, *none) (api.JobList, error) {
	l := api.JobList{Jobs: []api.Job{}}
	for _, j := range d.jobs.All() {
		l.Jobs = append(l.Jobs, jobOf(j.Kind, j.Progress))
	}
	return l, nil
}

func jobOf(kind jobs.Kind, p jobs.Progress) api.Job {
	j := api.Job{
		Kind: string(kind), Began: p.Began.UTC(), Files: p.Done.Files, Bytes: p.Done.Bytes,
		TotalFiles: p.Total.Files, TotalBytes: p.Total.Bytes, Rate: int64(p.Rate),
	}
	if p.Known {
		seconds := int64(p.Left.Seconds())
		j.Left = &seconds
	}
	return j
}

func (d *Dashboard) getVerify(context.Context, *none) (api.Verify, error) {
	return VerifyOf(d.verifier.State()), nil
}

// verifyRequest names what is to be checked.
type verifyRequest struct{ Body *api.VerifyRequest }

// startVerify begins a check and returns at once.
func (d *Dashboard) startVerify(_ context.Context, in *verifyRequest) (api.Verify, error) {
	var scope fetch.Scope
	if in.Body != nil && in.Body.What != "" {
		var err error
		if scope, err = ParseScope(in.Body.What); err != nil {
			return api.Verify{}, err
		}
	}
	s, err := d.verifier.Start(verify.Scope(scope))
	if errors.Is(err, verify.ErrRunning) {
		err = problem(http.StatusConflict, "A check of something else is under way; another one can begin when it has ended, or was stopped (DELETE /api/v1/verify).")
	}
	return VerifyOf(s), err
}

// stopVerify ends the check under way, if there is one.
func (d *Dashboard) stopVerify(context.Context, *none) error {
	d.verifier.Stop()
	return nil
}

func VerifyOf(s verify.State) api.Verify {
	v := api.Verify{
		Running: s.Running, Host: s.Scope.Host, Path: s.Scope.Path, Began: s.Began, Ended: s.Ended, Stopped: s.Stopped, Error: s.Error,
		Files: s.Files, Bytes: s.Bytes, Unreadable: s.Unreadable, Damaged: s.Damaged, DamagedBytes: s.DamagedBytes,
		Fetched: s.Fetched, NotAvailable: s.NotAvailable, Waiting: s.Waiting, Unlisted: s.Unlisted, Found: []api.DamagedFile{},
	}
	for _, f := range s.Found {
		v.Found = append(v.Found, api.DamagedFile{Digest: f.Digest, Name: f.Name, Size: f.Size, Outcome: string(f.Outcome), Why: f.Why})
	}
	if s.Running {
		j := jobOf(jobs.Verify, s.Progress)
		v.Job = &j
	}
	return v
}
