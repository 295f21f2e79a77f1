package dashboard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millpond/internal/api"
	"millpond/internal/carry"
	"millpond/internal/jobs"
)

// Carrier imports, exports and fills media; *carry.Service.
type Carrier interface {
	Start(carry.Request) (carry.State, error)
	Stop(jobs.Kind)
	State(jobs.Kind) carry.State
}

const (
	// maxCarryBody bounds the body of an import or export: 256 paths of usual length.
	maxCarryBody = 64 << 10
	// maxFillBody bounds the body of a fill: a list of some 100,000 files.
	maxFillBody = 16 << 20
	// fillWithin is the time that such a body has to come.
	fillWithin = time.Minute
)

// serveCarry adds what begins, stops and tells of imports, exports and fills. All of it
// is for administrators: names in directories of the machine are nobody else's.
func (d *Dashboard) serveCarry(s *service) {
	begin := func(kind, id, summary string, body int64) huma.Operation {
		return s.forAdmin(huma.Operation{
			Method: http.MethodPost, OperationID: id, Path: kind, MaxBodyBytes: body, BodyReadTimeout: fillWithin,
			Summary: summary, Middlewares: huma.Middlewares{bodyIsJSON},
		})
	}
	respond(s, begin("import", "startImport", "Import directories that the box can read", maxCarryBody), d.startImport)
	respond(s, begin("export", "startExport", "Write what is held into a directory that the box can write to", maxCarryBody), d.startExport)
	respond(s, begin("fill", "startFill", "Fetch what another box wants, and write it as an export", maxFillBody), d.startFill)
	for _, k := range []struct {
		kind jobs.Kind
		name string
	}{{jobs.Import, "Import"}, {jobs.Export, "Export"}, {jobs.Fill, "Fill"}} {
		respond(s, s.forAdmin(huma.Operation{
			Method: http.MethodGet, OperationID: "get" + k.name, Path: string(k.kind), Summary: "The " + string(k.kind) + ": how far it is, or what the last one did",
		}), func(context.Context, *none) (api.Carry, error) { return CarryOf(k.kind, d.carrier.State(k.kind)), nil })
		act(s, huma.Operation{
			Method: http.MethodDelete, OperationID: "stop" + k.name, Path: string(k.kind), Summary: "Stop the " + string(k.kind) + "; the same request goes on where it was",
		}, func(context.Context, *none) error {
			d.carrier.Stop(k.kind)
			return nil
		})
	}
	huma.Register(s, s.forAdmin(huma.Operation{
		Method: http.MethodGet, OperationID: "getWantList", Path: "want-list", Tags: []string{s.tag},
		Summary: "What the box wants from outside, for a fill at another one",
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}), func(ctx context.Context, _ *none) (*wantListAnswer, error) {
		list, err := d.wantList(ctx)
		if err != nil {
			return nil, s.problem(err)
		}
		var b bytes.Buffer
		if err := list.Write(&b, time.Now()); err != nil {
			return nil, s.problem(err)
		}
		return &wantListAnswer{"text/plain; charset=utf-8", b.Bytes()}, nil
	})
}

type wantListAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

type (
	importRequest struct{ Body api.ImportRequest }
	exportRequest struct{ Body api.ExportRequest }
	fillRequest   struct{ Body api.FillRequest }
)

func (d *Dashboard) startImport(_ context.Context, in *importRequest) (api.Carry, error) {
	return d.startCarry(carry.Request{Kind: jobs.Import, Dirs: in.Body.Dirs, As: in.Body.As})
}

func (d *Dashboard) startExport(_ context.Context, in *exportRequest) (api.Carry, error) {
	return d.startCarry(carry.Request{Kind: jobs.Export, Dirs: []string{in.Body.Dir}, Suites: in.Body.Suites})
}

func (d *Dashboard) startFill(_ context.Context, in *fillRequest) (api.Carry, error) {
	list, err := carry.ReadWantList(strings.NewReader(in.Body.List))
	if err != nil {
		return api.Carry{}, wrong("%v", err)
	}
	return d.startCarry(carry.Request{Kind: jobs.Fill, Dirs: []string{in.Body.Dir}, List: list})
}

// startCarry begins some work and returns at once.
func (d *Dashboard) startCarry(r carry.Request) (api.Carry, error) {
	s, err := d.carrier.Start(r)
	switch {
	case errors.Is(err, jobs.ErrRunning):
		return api.Carry{}, problem(http.StatusConflict, "Another "+string(r.Kind)+" is under way; this one can begin when that has ended, or was stopped (DELETE /api/v1/"+string(r.Kind)+").")
	case err != nil:
		return api.Carry{}, wrong("%v", err)
	}
	return CarryOf(r.Kind, s), nil
}

// CarryOf is how far some work is, or how it ended.
func CarryOf(kind jobs.Kind, s carry.State) api.Carry {
	c := api.Carry{
		Running: s.Running, Began: s.Began, Ended: s.Ended, Stopped: s.Stopped, Error: s.Error,
		Suites: []string{}, Skipped: []api.SkippedFile{},
	}
	if s.Running {
		j := jobOf(kind, s.Progress)
		c.Job = &j
	}
	r := s.Report
	if r == nil {
		return c
	}
	c.Taken, c.TakenBytes, c.Held, c.HeldBytes = r.Taken, r.TakenBytes, r.Held, r.HeldBytes
	c.Linked, c.Cloned, c.Unlisted, c.Missing = r.Linked, r.Cloned, r.Unlisted, r.Missing
	c.Suites = append(c.Suites, r.Suites...)
	for _, k := range r.Skipped() {
		c.Skipped = append(c.Skipped, api.SkippedFile{Reason: string(k.Reason), Files: k.Files, Examples: k.Examples})
	}
	return c
}
