package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"millpond/internal/api"
	"millpond/internal/front"
)

// apiRoot is where the API's paths begin.
const apiRoot = "/api/v1/"

// huma has these as variables of the program; the dashboard is its only user.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return problem(status, detail, errs...)
	}
	huma.DefaultArrayNullable = false // lists are never null
}

// problem is an error answer. A request that fails validation is 400 as every
// other wrong one; huma says 422.
func problem(status int, detail string, errs ...error) *api.Problem {
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := &api.Problem{Title: http.StatusText(status), Status: status, Detail: detail}
	var all []string
	for _, err := range errs {
		part := api.Detail{Message: err.Error()}
		var known huma.ErrorDetailer
		if errors.As(err, &known) {
			part = api.Detail{Location: known.ErrorDetail().Location, Message: known.ErrorDetail().Message}
		}
		p.Errors = append(p.Errors, part)
		all = append(all, strings.TrimLeft(part.Location+": "+part.Message, ": "))
	}
	if len(all) > 0 {
		p.Detail = strings.Join(all, "; ")
	}
	return p
}

// wrong is a Problem with a request, in words.
func wrong(format string, args ...any) *api.Problem {
	return problem(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// service is the API on one router.
type service struct {
	huma.API
	log   *slog.Logger
	tag   string                                 // of the operations that are added
	admin func(huma.Context, func(huma.Context)) // lets the administrator pass
}

func newService(r chi.Router, d *Dashboard) *service {
	c := huma.DefaultConfig("millpond", d.version)
	// No pages and no fields beyond the API's own: the documentation page loads
	// scripts from elsewhere, and the links are for editors.
	c.DocsPath, c.SchemasPath, c.OpenAPIPath, c.CreateHooks = "", "", "", nil
	c.Info.Description = "What an apt proxy saved, holds and does. Byte figures are body bytes. Lists are bounded and paged."
	// Relative to the document, so that it holds below any path of a reverse proxy.
	c.Servers = []*huma.Server{{URL: "../..", Description: "the box that the document is from"}}
	c.Tags = []*huma.Tag{
		{Name: "figures", Description: "what was saved, for whom and of which archives"},
		{Name: "files", Description: "what is held, and how fresh"},
		{Name: "rings", Description: "which generation of a suite which clients get"},
		{Name: "state", Description: "events, settings, and how the box is"},
		{Name: "swarm", Description: "other boxes"},
		{Name: "site", Description: "the figures of all boxes together"},
		{Name: "admin", Description: "actions; they need the admin token"},
	}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "MILLPOND_ADMIN_TOKEN"},
	}
	format := huma.Format{Marshal: writeJSON, Unmarshal: json.Unmarshal}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format} // the second is for …/…+json
	s := &service{API: humachi.New(r, c), log: d.log}
	s.admin = func(ctx huma.Context, next func(huma.Context)) { d.authorize(s, ctx, next) }
	s.UseMiddleware(noStore)
	return s
}

// tagged is s for operations with a tag.
func (s *service) tagged(name string) *service {
	t := *s
	t.tag = name
	return &t
}

// writeJSON fails only if v cannot be encoded, on which huma panics.
func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, _ = w.Write(append(b, '\n')) // a client that disconnected is no error
	return nil
}

func noStore(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader("Cache-Control", "no-store")
	next(ctx)
}

// none is an operation without parameters.
type none = struct{}

// answer is a JSON body.
type answer[T any] struct{ Body T }

// read adds an operation that answers GET with JSON.
func read[I, T any](s *service, id, path, summary string, handle func(context.Context, *I) (T, error)) {
	respond(s, huma.Operation{Method: http.MethodGet, OperationID: id, Path: apiRoot + path, Summary: summary}, handle)
}

// respond adds an operation that answers with JSON. An error of handle that is no
// Problem is logged, and answered with 500.
func respond[I, T any](s *service, o huma.Operation, handle func(context.Context, *I) (T, error)) {
	o.Tags = []string{s.tag}
	huma.Register(s, o, func(ctx context.Context, in *I) (*answer[T], error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problem(err)
		}
		return &answer[T]{out}, nil
	})
}

// act adds an admin action that answers with 204.
func act[I any](s *service, o huma.Operation, handle func(context.Context, *I) error) {
	o.Responses = map[string]*huma.Response{"204": {Description: "Done"}}
	o.Tags = []string{s.tag}
	huma.Register(s, s.forAdmin(o), func(ctx context.Context, in *I) (*none, error) {
		if err := handle(ctx, in); err != nil {
			return nil, s.problem(err)
		}
		return nil, nil
	})
}

// forAdmin makes an operation need the admin token.
func (s *service) forAdmin(o huma.Operation) huma.Operation {
	o.Path = apiRoot + o.Path
	o.Security = []map[string][]string{{"token": {}}}
	o.Middlewares = append(o.Middlewares, s.admin)
	return o
}

// refuse answers a request in place of its operation.
func (s *service) refuse(ctx huma.Context, status int, detail string) {
	_ = huma.WriteErr(s, ctx, status, detail) // writeJSON never fails for a Problem
}

// problem is the answer for err.
func (s *service) problem(err error) error {
	var known *api.Problem
	if errors.As(err, &known) {
		return known
	}
	id := front.NewRequestID()
	s.log.Error("the dashboard could not answer a request", "request", id, "err", err)
	return problem(http.StatusInternalServerError, fmt.Sprintf("The box could not answer (%s): %v", id, err))
}

// bodyIsJSON reads a body as JSON whatever its label: curl labels what -d sends
// as a form.
func bodyIsJSON(ctx huma.Context, next func(huma.Context)) {
	r, _ := humachi.Unwrap(ctx)
	r.Header.Set("Content-Type", "application/json")
	next(ctx)
}
