package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/logs"
)

// A share of the requests has to fail before the box counts as degraded, and what the
// mirror has not is no fault of the box.
func TestHourFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		failures api.Failures
		want     []string
	}{
		{api.Failures{Requests: 1, Failed: 1, Refused: 0}, nil},
		{api.Failures{Requests: 19, Failed: 19}, nil},
		{api.Failures{Requests: 401, Failed: 20}, nil},
		{api.Failures{Requests: 400, Failed: 20}, []string{"requests"}},
		{api.Failures{Requests: 400, Refused: 79}, nil},
		{api.Failures{Requests: 400, Refused: 80}, []string{"refusals"}},
		{api.Failures{Requests: 400, Unkept: 20}, []string{"files"}},
		{api.Failures{Requests: 400, Missing: 400}, nil},
		{api.Failures{Requests: 100, Failed: 30, Refused: 30, Unkept: 30}, []string{"requests", "refusals", "files"}},
	} {
		var got []string
		for _, f := range hourFaults(tt.failures) {
			got = append(got, f.What)
			if f.Fatal || strings.Contains(f.Why, "%!") || !strings.Contains(f.Why, fmt.Sprint(tt.failures.Requests)) {
				t.Errorf("%+v", f)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.failures, got, tt.want)
		}
	}
}

// Failures count for an hour.
func TestLastHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e Events
		log := slog.New(e.Handler(slog.DiscardHandler))
		for range 2 * minutes {
			log.Warn("file cut short for a client", "failure", "failed")
			log.Info("request refused", "failure", "refused")
			log.Log(context.Background(), logs.Notice, "the mirror has no such file", "failure", "missing")
			log.Error("store failed, file served without keeping it", "failure", "unkept")
			log.Warn("no failure of a client's")
			time.Sleep(time.Minute)
		}
		want := api.Failures{Failed: 59, Refused: 59, Missing: 59, Unkept: 59} // and the minute that has just begun
		if got := e.hour.sum(time.Now()); got != want {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		if got := e.hour.sum(time.Now()); got != (api.Failures{}) {
			t.Errorf("an hour later %+v", got)
		}
	})
}

func TestOverview(t *testing.T) {
	t.Parallel()
	events := new(Events)
	log := logTo(&bytes.Buffer{}, events)
	r := newRig(t, func(o *Options) { o.Events, o.Log = events, log })
	for range 25 {
		log.Warn("request not served", "failure", "failed")
	}
	got := get[api.Overview](t, r, "/api/v1/overview")
	if got.Phase != "saving" || got.Clients != (api.Reach{Ever: 2, Day: 2}) || got.LastHour.Failed != 25 || got.LastHour.Requests != 27 {
		t.Errorf("%+v", got)
	}
	if d := got.Disk; d.Used < 20 || d.Limit != 1e9 || d.Free <= 0 || d.Total < d.Free || d.Effective > d.Limit || d.Effective < d.Used {
		t.Errorf("the disk: %+v", d)
	}
	if got := r.readiness(); got.Status != "degraded" || !slices.ContainsFunc(got.Faults, func(f api.Fault) bool { return f.What == "requests" }) {
		t.Errorf("health: %+v", got)
	}
	small := options()
	small.Store = usage{}
	if got := New(small).disk(); got.Effective != 15_000_000 || got.Limit != 16_000_000 || got.Used != 1_400_015 || got.Free != 3_000_000 {
		t.Errorf("on a small disk: %+v", got)
	}
}

func TestPhase(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]ledger.Counts{
		"empty": {Requests: 1}, "filling": {DeliveredMirror: 10, MirrorTaken: 12}, "saving": {DeliveredMirror: 10, DeliveredStore: 3, MirrorTaken: 12},
	} {
		if got := (&Dashboard{ledger: counted{sum: c}}).phase(); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
	if got := (&Dashboard{ledger: counted{sum: ledger.Counts{DeliveredMirror: 10, MirrorTaken: 10}}}).phase(); got != "filling" {
		t.Errorf("after the first client: %s", got)
	}
}

// counted is a Ledger of totals alone.
type counted struct {
	figures
	sum ledger.Counts
}

func (c counted) Totals() (ledger.Counts, time.Time) { return c.sum, since }

// The http and https forms of a suite are one row, which shows the one that is worst off.
func TestFormsOfSuite(t *testing.T) {
	t.Parallel()
	at := func(scheme, suite string) catalog.Location {
		return catalog.Location{Scheme: scheme, Host: "deb.example.org", Path: "/debian/dists/" + suite}
	}
	day := time.Now().Add(24 * time.Hour)
	r := newRig(t, func(o *Options) {
		o.Fetch = downloads{checked: since}
		o.Catalog = known{suites: []catalog.SuiteInfo{
			{Location: at("http", "sid"), Current: catalog.Generation{Signed: true, ValidUntil: day}},
			{Location: at("http", "trixie"), Current: catalog.Generation{Signed: true, ValidUntil: day}},
			{Location: at("https", "sid"), Current: catalog.Generation{ValidUntil: day}},
			{Location: at("https", "trixie"), Current: catalog.Generation{Signed: true, ValidUntil: since}},
			{Location: at("https", "alone"), Current: catalog.Generation{Signed: true}},
		}}
	})
	got := get[api.Page[api.Suite]](t, r, "/api/v1/suites")
	states := make(map[string]string)
	for _, s := range got.Items {
		states[s.URL+" "+strings.Join(s.Also, " ")] = s.State
	}
	want := map[string]string{
		"https://deb.example.org/debian/dists/sid http://deb.example.org/debian/dists/sid":       "unsigned",
		"https://deb.example.org/debian/dists/trixie http://deb.example.org/debian/dists/trixie": "expired",
		"https://deb.example.org/debian/dists/alone ":                                            "fresh",
	}
	if got.Total != 3 || !maps.Equal(states, want) {
		t.Errorf("%d: %v", got.Total, states)
	}
}

// Every admin action of the document writes one line of the audit, with the same
// attributes, whatever it came to; no line has the address of the client that it is about.
func TestAllActionsAreAudited(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	events := new(Events)
	log := logTo(&out, events)
	r := newRig(t, func(o *Options) { o.Events, o.Log = events, log })
	actions := 0
	for path, item := range get[map[string]any](t, r, "/api/v1/openapi.json")["paths"].(map[string]any) {
		for method, o := range item.(map[string]any) {
			op := o.(map[string]any)
			if op["security"] == nil || method == "get" {
				continue
			}
			actions++
			out.Reset()
			path := strings.NewReplacer("{digest}", strings.Repeat("0", 64), "{id}", "you", "{name}", "prod").Replace(path)
			body := "{}"
			if strings.HasPrefix(path, "/api/v1/clients/") {
				body = `{"address": "10.1.2.3", "name": "front desk"}`
			}
			r.do(t, strings.ToUpper(method), path, token, body)
			line := out.String()[max(strings.Index(out.String(), "level=INFO msg=\"admin action\""), 0):]
			want := fmt.Sprintf(`level=INFO msg="admin action" action=%s what=`, op["operationId"])
			if strings.Count(out.String(), "admin action") != 1 || !strings.HasPrefix(line, want) || !strings.Contains(line, "client=192.0.2.1 result=") || strings.Contains(out.String(), "10.1.2.3") {
				t.Errorf("%s %s: %s", method, path, out.String())
			}
		}
	}
	audit, _ := events.Latest(1000, func(v *api.Event) bool { return v.Kind == "audit" })
	if actions < 15 || len(audit) != actions {
		t.Errorf("%d actions, %d events", actions, len(audit))
	}
	out.Reset()
	r.do(t, http.MethodPut, "/api/v1/swarm/upload-rate", token, `{"bytes_per_second": 7}`)
	if !strings.Contains(out.String(), `what="swarm/upload-rate {\"bytes_per_second\":7}" client=192.0.2.1 result=done`) {
		t.Errorf("the audit: %s", out.String())
	}
}
