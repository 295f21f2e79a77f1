package dashboard

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/rings"
)

// maxRingBody bounds the body of a request about a ring: a name and 64 ranges.
const maxRingBody = 8 << 10

// Rings has the rings; *rings.Rings.
type Rings interface {
	List() []rings.Shown
	Lanes(name string) ([]rings.Lane, error)
	Changes(ctx context.Context, name string, suite catalog.Location) (rings.Changes, error)
	Create(d rings.Definition) error
	Delete(name string) error
	Hold(name string, suite catalog.Location, hold bool) error
	Promote(name string, suite catalog.Location) error
	RollBack(name string, suite catalog.Location) error
}

func (d *Dashboard) serveRings(s *service) {
	s = s.tagged("rings")
	read(s, "listRings", "rings", "Rings of clients", d.listRings)
	read(s, "listRingSuites", "rings/{name}/suites", "What a ring has of each suite, and gets next", d.listRingSuites)
	read(s, "listRingChanges", "rings/{name}/changes", "What a promotion would bring", d.listRingChanges)
	read(s, "listGenerations", "generations", "Generations of a suite that are kept, for snapshots and rings", d.listGenerations)
	change := func(method, id, path, summary string) huma.Operation {
		return huma.Operation{
			Method: method, OperationID: id, Path: "rings" + path, Summary: summary,
			MaxBodyBytes: maxRingBody, Middlewares: huma.Middlewares{bodyIsJSON},
		}
	}
	act(s, change(http.MethodPost, "createRing", "", "Make a ring"), d.createRing)
	act(s, huma.Operation{Method: http.MethodDelete, OperationID: "deleteRing", Path: "rings/{name}", Summary: "Remove a ring that was made here"}, d.deleteRing)
	act(s, change(http.MethodPost, "holdRing", "/{name}/hold", "Have a ring stay with what it has, or end that"), d.holdRing)
	act(s, change(http.MethodPost, "promoteRing", "/{name}/promote", "Give a ring now the latest that the one before it has, and end a hold"), d.promoteRing)
	act(s, change(http.MethodPost, "rollBackRing", "/{name}/rollback", "Give a ring what it had before, and hold it there"), d.rollBackRing)
}

// OnRing names a ring.
type OnRing struct {
	Name string `path:"name" doc:"of the ring" maxLength:"64"`
}

func (d *Dashboard) listRings(context.Context, *none) (api.RingList, error) {
	answer := api.RingList{Rings: []api.Ring{}}
	for _, r := range d.rings.List() {
		row := api.Ring{
			Name: r.Name, After: r.After, Delay: int64(r.Delay / time.Second), Security: r.Security, Clients: []string{},
			Setting: r.Setting, Suites: r.Suites, Held: r.Held, Bytes: r.Bytes, Share: r.Share, Full: r.Full,
		}
		for _, p := range r.Clients {
			row.Clients = append(row.Clients, p.String())
		}
		answer.Rings = append(answer.Rings, row)
	}
	return answer, nil
}

type ringSuitesQuery struct {
	OnRing
	Window
}

func (d *Dashboard) listRingSuites(_ context.Context, q *ringSuitesQuery) (api.Page[api.RingSuite], error) {
	all, err := d.rings.Lanes(q.Name)
	if err != nil {
		return api.Page[api.RingSuite]{}, ringProblem(err)
	}
	cut := page(all, q.Window)
	answer := api.Page[api.RingSuite]{Total: cut.Total, Offset: cut.Offset, Items: []api.RingSuite{}}
	for _, l := range cut.Items {
		row := api.RingSuite{
			Suite: l.Suite.String(), Name: suiteName(l.Suite), Present: generationOf(l.Present), Since: l.Since.UTC(),
			Held: l.Held, Security: l.Security, Next: generationIf(l.Next), Latest: generationIf(l.Latest), Former: generationIf(l.Former), Expiry: l.Expiry,
		}
		if l.Next != nil {
			row.Due = timeIf(l.Due)
		}
		answer.Items = append(answer.Items, row)
	}
	return answer, nil
}

func generationOf(g rings.Generation) api.RingGeneration {
	return api.RingGeneration{Digest: g.ID.String(), Date: g.Date.UTC(), ValidUntil: timeIf(g.ValidUntil)}
}

func generationIf(g *rings.Generation) *api.RingGeneration {
	if g == nil {
		return nil
	}
	row := generationOf(*g)
	return &row
}

// timeIf is t for an answer, nil if it is zero.
func timeIf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type ringChangesQuery struct {
	OnRing
	OnSuite
	Window
}

// OnSuite names a suite.
type OnSuite struct {
	Suite string `query:"suite" required:"true" doc:"URL of its directory"`
}

func (d *Dashboard) listRingChanges(ctx context.Context, q *ringChangesQuery) (api.RingChanges, error) {
	suite, err := catalog.ParseURL(q.Suite)
	if err != nil {
		return api.RingChanges{}, wrong("suite: %v", err)
	}
	c, err := d.rings.Changes(ctx, q.Name, suite)
	if err != nil {
		return api.RingChanges{}, ringProblem(err)
	}
	cut := page(c.Packages, q.Window)
	answer := api.RingChanges{
		From: generationOf(c.From), To: generationOf(c.To), Added: c.Added, Removed: c.Removed, Replaced: c.Replaced,
		Security: c.Security, Unread: c.Unread, Total: cut.Total, Offset: cut.Offset, Items: []api.RingChange{},
	}
	for _, p := range cut.Items {
		answer.Items = append(answer.Items, api.RingChange{
			Package: p.Package, Architecture: p.Architecture, Old: p.Old, New: p.New, Security: p.Security,
		})
	}
	return answer, nil
}

type generationsQuery struct {
	OnSuite
	Window
}

func (d *Dashboard) listGenerations(_ context.Context, q *generationsQuery) (api.Page[api.Generation], error) {
	suite, err := catalog.ParseURL(q.Suite)
	if err != nil {
		return api.Page[api.Generation]{}, wrong("suite: %v", err)
	}
	cut := page(d.catalog.Moments(suite), q.Window)
	answer := api.Page[api.Generation]{Total: cut.Total, Offset: cut.Offset, Items: []api.Generation{}}
	for _, m := range cut.Items {
		g := api.Generation{
			RingGeneration: generationOf(rings.Generation{ID: m.ID, Date: m.Date, ValidUntil: m.ValidUntil}),
			Learned:        m.Learned.UTC(), Superseded: timeIf(m.Superseded), Signed: m.Signed, Login: m.Private,
		}
		if !g.Login {
			g.Snapshot = m.Date.UTC().Format(rings.TimeFormat)
		}
		answer.Items = append(answer.Items, g)
	}
	return answer, nil
}

type createRequest struct{ Body api.RingRequest }

func (d *Dashboard) createRing(_ context.Context, in *createRequest) error {
	def := rings.Definition{Name: in.Body.Name, After: in.Body.After, Security: in.Body.Security}
	if in.Body.Delay != "" {
		delay, err := rings.ParseDelay(in.Body.Delay)
		if err != nil {
			return wrong("delay: %v", err)
		}
		def.Delay = delay
	}
	for _, s := range in.Body.Clients {
		p, err := rings.ParseRange(s)
		if err != nil {
			return wrong("clients: %v", err)
		}
		def.Clients = append(def.Clients, p)
	}
	return ringProblem(d.rings.Create(def))
}

func (d *Dashboard) deleteRing(_ context.Context, in *OnRing) error {
	return ringProblem(d.rings.Delete(in.Name))
}

type holdRequest struct {
	OnRing
	Body api.RingHold
}

func (d *Dashboard) holdRing(_ context.Context, in *holdRequest) error {
	return d.onLanes(in.Body.Suite, func(suite catalog.Location) error { return d.rings.Hold(in.Name, suite, in.Body.Hold) })
}

type ringRequest struct {
	OnRing
	Body *api.RingAction // nil for all suites
}

func (r *ringRequest) suite() string {
	if r.Body == nil {
		return ""
	}
	return r.Body.Suite
}

func (d *Dashboard) promoteRing(_ context.Context, in *ringRequest) error {
	return d.onLanes(in.suite(), func(suite catalog.Location) error { return d.rings.Promote(in.Name, suite) })
}

func (d *Dashboard) rollBackRing(_ context.Context, in *ringRequest) error {
	return d.onLanes(in.suite(), func(suite catalog.Location) error { return d.rings.RollBack(in.Name, suite) })
}

// onLanes calls do with the suite of that URL, or with the zero one for all.
func (d *Dashboard) onLanes(url string, do func(catalog.Location) error) error {
	var suite catalog.Location
	if url != "" {
		var err error
		if suite, err = catalog.ParseURL(url); err != nil {
			return wrong("suite: %v", err)
		}
	}
	return ringProblem(do(suite))
}

// ringProblem words the errors of the rings.
func ringProblem(err error) error {
	var invalid *rings.InvalidError
	switch {
	case errors.Is(err, rings.ErrNoRing), errors.Is(err, rings.ErrNoLane):
		return problem(http.StatusNotFound, err.Error())
	case errors.Is(err, rings.ErrNoFormer), errors.Is(err, rings.ErrSetting), errors.Is(err, rings.ErrFollowed):
		return problem(http.StatusConflict, err.Error())
	case errors.As(err, &invalid):
		return wrong("%v", invalid)
	}
	return err
}
