package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/rings"
)

// someRings are two rings with one suite, and note what is done to them.
type someRings struct {
	err  error
	done []string
}

func (s *someRings) note(format string, args ...any) error {
	s.done = append(s.done, fmt.Sprintf(format, args...))
	return s.err
}

func (s *someRings) List() []rings.Shown {
	return []rings.Shown{
		{Definition: rings.Definition{Name: "canary"}, Setting: true, Suites: 1},
		{Definition: rings.Definition{
			Name: "prod", After: "canary", Delay: 72 * time.Hour, Security: true, Clients: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		}, Suites: 1, Held: 1, Bytes: 5, Share: 10, Full: true},
	}
}

var ringSuite = catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/trixie"}

func (s *someRings) Lanes(name string) ([]rings.Lane, error) {
	if name != "prod" && name != "bash" {
		return nil, rings.ErrNoRing
	}
	old, fresh := rings.Generation{ID: digest.Of([]byte("1")), Date: since}, rings.Generation{ID: digest.Of([]byte("2")), Date: since.Add(time.Hour), ValidUntil: since.Add(time.Minute)}
	return []rings.Lane{
		{Suite: ringSuite, Present: old, Since: since, Next: &fresh, Due: since.Add(72 * time.Hour), Latest: &fresh, Expiry: "it is valid until then"},
		{Suite: ringSuite.Join("x"), Present: fresh, Since: since, Held: true, Security: true, Former: &old},
	}, nil
}

func (s *someRings) Changes(_ context.Context, name string, suite catalog.Location) (rings.Changes, error) {
	c := rings.Changes{Added: 1, Removed: 2, Replaced: 3, Security: 1}
	for i := range 6 {
		c.Packages = append(c.Packages, rings.Change{Package: fmt.Sprint("p", i), Architecture: "amd64", New: "1.0-1", Security: i == 1})
	}
	return c, s.note("changes %s %s", name, suite)
}

func (s *someRings) Create(d rings.Definition) error { return s.note("create %v", d) }
func (s *someRings) Delete(name string) error        { return s.note("delete %s", name) }
func (s *someRings) Hold(name string, suite catalog.Location, hold bool) error {
	return s.note("hold %s %s %v", name, suite.Path, hold)
}
func (s *someRings) Promote(name string, suite catalog.Location) error {
	return s.note("promote %s %s", name, suite.Path)
}
func (s *someRings) RollBack(name string, suite catalog.Location) error {
	return s.note("rollback %s %s", name, suite.Path)
}

func TestRings(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	all := get[api.RingList](t, r, "/api/v1/rings").Rings
	if len(all) != 2 || !all[0].Setting || all[1].Delay != 3*24*3600 || all[1].Clients[0] != "10.1.0.0/16" || !all[1].Full || all[1].Share != 10 {
		t.Errorf("rings: %+v", all)
	}
	lanes := get[api.Page[api.RingSuite]](t, r, "/api/v1/rings/prod/suites")
	if lanes.Total != 2 || len(lanes.Items) != 2 {
		t.Fatalf("suites: %+v", lanes)
	}
	first, second := lanes.Items[0], lanes.Items[1]
	if first.Suite != ringSuite.String() || first.Name != "trixie" || first.Next == nil || !first.Due.Equal(since.Add(72*time.Hour)) ||
		first.Latest.ValidUntil == nil || first.Present.ValidUntil != nil || first.Former != nil || first.Expiry == "" {
		t.Errorf("a suite that waits: %+v", first)
	}
	if !second.Held || !second.Security || second.Next != nil || second.Due != nil || second.Former == nil {
		t.Errorf("a suite that is held: %+v", second)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/rings/other/suites", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("no such ring: %d", w.Code)
	}
	c := get[api.RingChanges](t, r, "/api/v1/rings/prod/changes?limit=2&offset=1&suite="+ringSuite.String())
	if c.Total != 6 || c.Offset != 1 || len(c.Items) != 2 || !c.Items[0].Security || c.Items[1].Package != "p2" || c.Replaced != 3 {
		t.Errorf("changes: %+v", c)
	}
}

func TestRingActions(t *testing.T) {
	t.Parallel()
	fake := new(someRings)
	r := newRig(t, func(o *Options) { o.Rings = fake })
	suite := `{"suite": "` + ringSuite.String() + `"}`
	for _, tt := range []struct {
		method, path, body string
		err                error
		code               int
		done, says         string
	}{
		{http.MethodPost, "", `{"name": "prod", "after": "canary", "delay": "3d", "security": true, "clients": ["10.1.2.3"]}`, nil, 204, "create {prod canary 72h0m0s true [10.1.2.3/32]}", ""},
		{http.MethodPost, "", `{"name": "prod", "delay": "soon"}`, nil, 400, "", "write 3d"},
		{http.MethodPost, "", `{"name": "prod", "clients": ["x"]}`, nil, 400, "", "neither an address"},
		{http.MethodPost, "", `{"name": "prod"}`, &rings.InvalidError{Err: rings.ErrNoRing}, 404, "create {prod  0s false []}", "no ring"},
		{http.MethodDelete, "/prod", ``, nil, 204, "delete prod", ""},
		{http.MethodDelete, "/prod", ``, rings.ErrSetting, 409, "delete prod", "MILLPOND_RINGS"},
		{http.MethodDelete, "/prod", ``, rings.ErrFollowed, 409, "delete prod", "comes after"},
		{http.MethodPost, "/prod/hold", `{"hold": true}`, nil, 204, "hold prod  true", ""},
		{http.MethodPost, "/prod/hold", `{"hold": false, "suite": "http://deb.example.org/debian/dists/trixie"}`, nil, 204, "hold prod /debian/dists/trixie false", ""},
		{http.MethodPost, "/prod/promote", suite, nil, 204, "promote prod /debian/dists/trixie", ""},
		{http.MethodPost, "/prod/promote", "", nil, 204, "promote prod ", ""},
		{http.MethodPost, "/prod/promote", `{}`, rings.ErrNoLane, 404, "promote prod ", "no client"},
		{http.MethodPost, "/prod/promote", `{"suite": "trixie"}`, nil, 400, "", "suite"},
		{http.MethodPost, "/prod/rollback", suite, nil, 204, "rollback prod /debian/dists/trixie", ""},
		{http.MethodPost, "/prod/rollback", suite, rings.ErrNoFormer, 409, "rollback prod /debian/dists/trixie", "no other generation"},
	} {
		for _, by := range []string{"", token} {
			fake.err, fake.done = tt.err, nil
			w := r.do(t, tt.method, "/api/v1/rings"+tt.path, by, tt.body)
			code, done := tt.code, tt.done
			if by == "" {
				code, done = http.StatusUnauthorized, ""
			}
			if got := strings.Join(fake.done, ", "); w.Code != code || got != done || by != "" && !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("%s %s %s: %d, done %q; want %d, %q: %s", tt.method, tt.path, tt.body, w.Code, got, code, done, w.Body)
			}
		}
	}
}

// What becomes of rings is among the events, for each suite in a row of its own.
func TestRingEvents(t *testing.T) {
	t.Parallel()
	var e Events
	log := slog.New(e.Handler(slog.DiscardHandler))
	for _, suite := range []string{"one", "two", "one"} {
		log.Info("ring promoted", "ring", "prod", "suite", suite)
	}
	log.Info("suite followed", "suite", "one")
	rows := latest(&e)
	if len(rows) != 2 || rows[0].Suite != "one" || rows[0].Times != 2 || rows[1].Suite != "two" || rows[1].Ring != "prod" {
		t.Errorf("events: %+v", rows)
	}
}

func TestGenerationsOfSuite(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		k := o.Catalog.(known)
		k.moments = []catalog.Moment{
			{Generation: catalog.Generation{ID: digest.Of([]byte("2")), Date: since.Add(time.Hour), Signed: true}},
			{Generation: catalog.Generation{ID: digest.Of([]byte("1")), Date: since, ValidUntil: since.Add(time.Minute), Signed: true, Private: true}, Superseded: since.Add(2 * time.Hour)},
		}
		o.Catalog = k
	})
	p := get[api.Page[api.Generation]](t, r, "/api/v1/generations?suite="+ringSuite.String())
	if p.Total != 2 || p.Items[0].Superseded != nil || !p.Items[1].Superseded.Equal(since.Add(2*time.Hour)) || p.Items[1].ValidUntil == nil || p.Items[0].Login || !p.Items[1].Login || p.Items[1].Snapshot != "" ||
		p.Items[1].Digest != digest.Of([]byte("1")).String() || p.Items[0].Snapshot != since.Add(time.Hour).UTC().Format("20060102T150405Z") {
		t.Errorf("generations: %+v", p)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/generations?suite=trixie", "", ""); w.Code != http.StatusBadRequest {
		t.Errorf("no URL: %d", w.Code)
	}
}
