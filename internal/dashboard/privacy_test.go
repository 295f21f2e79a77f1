package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// everything is all that the dashboard shows: each answer of the API to GET, a tick
// of the stream and the metrics.
func (r *rig) everything(t *testing.T) string {
	t.Helper()
	paths := []string{"/metrics"}
	for path, item := range get[map[string]any](t, r, "/api/v1/openapi.json")["paths"].(map[string]any) {
		if item.(map[string]any)["get"] != nil {
			query := "?step=day&suite=http://deb.example.org/debian/dists/trixie"
			if strings.HasSuffix(path, "/events") {
				query = "" // all of them
			}
			paths = append(paths, strings.NewReplacer("{name}", "bash", "{address}", "10.1.2.4").Replace(path)+query)
		}
	}
	tick, err := json.Marshal(r.tick())
	if err != nil {
		t.Fatal(err)
	}
	all := []string{string(tick)}
	for _, path := range paths {
		w := r.do(t, http.MethodGet, path, token, "")
		if w.Code != http.StatusOK {
			t.Errorf("GET %s: %d: %s", path, w.Code, w.Body)
		}
		all = append(all, w.Body.String())
	}
	return strings.Join(all, "\n")
}

// lookUp runs the lookups of names that are wanted.
func (r *rig) lookUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.names.Run(ctx) }()
	for r.names.Known("10.1.2.3") == "" {
		time.Sleep(time.Millisecond) // polling another goroutine
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Of an erased client nothing is shown but its part of the sums, also where it was
// written in another form; the others are as they were; and the log says who did it,
// but not to whom.
func TestErase(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	events := new(Events)
	log := logTo(&out, events)
	r := newRig(t, func(o *Options) { o.Events, o.Log = events, log })
	log.Warn("file cut short for a client", "client", "10.1.2.3", "url", "http://deb.example.org/bash.deb", "err", "the mirror stalled")
	log.Info("request not served", "client", "10.1.2.3", "err", "client ::ffff:10.1.2.3 may not use the box", "setting", "MILLPOND_ALLOW_CLIENTS")
	log.Warn("from a port", "err", "10.1.2.3:3142: refused")
	log.Warn("another one", "client", "10.1.2.34", "err", "10.1.2.30.")
	r.do(t, http.MethodPut, "/api/v1/peers/you/ban", "wrong", "") // from 192.0.2.1
	get[api.Page[api.Account]](t, r, "/api/v1/clients")
	r.lookUp(t)
	before := get[api.Summary](t, r, "/api/v1/summary")
	if shown := r.everything(t); strings.Count(shown, `"10.1.2.3"`) < 3 || !strings.Contains(shown, "desk.example.org") {
		t.Fatalf("not shown to begin with:\n%s", shown)
	}
	out.Reset()
	last := events.Last()
	for i, want := range []bool{true, false} {
		w := r.do(t, http.MethodPost, "/api/v1/clients/erase", token, `{"address": "::ffff:10.1.2.3"}`)
		if got := decode[api.Erased](t, w.Body.Bytes()); w.Code != http.StatusOK || got.Known != want {
			t.Errorf("erasure %d: %d: %s", i, w.Code, w.Body)
		}
	}
	shown := r.everything(t)
	for text, want := range map[string]bool{
		`"10.1.2.3"`: false, "10.1.2.3:": false, ":10.1.2.3 ": false, "desk.example.org": false, // it
		`"10.1.2.34"`: true, "10.1.2.30.": true, `"10.1.2.4"`: true, "the mirror stalled": true, // not it
	} {
		if strings.Contains(shown, text) != want {
			t.Errorf("%q is shown: %v", text, !want)
		}
	}
	if after := get[api.Summary](t, r, "/api/v1/summary"); after.Counts != before.Counts {
		t.Errorf("figures %+v, before %+v", after.Counts, before.Counts)
	}
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients"); got.Total != 2 || got.Items[0].Name != ledger.Others || got.Items[0].ClientBytes != 1000 {
		t.Errorf("clients: %+v", got)
	}
	if events.Last() == last {
		t.Error("open pages do not ask for the events again")
	}
	if got := out.String(); strings.Count(got, `msg="admin action" action=eraseClient what=clients/erase client=192.0.2.1 result=done`) != 2 || strings.Contains(got, "10.1.2.3") {
		t.Errorf("the log:\n%s", got)
	}
	if r.do(t, http.MethodPost, "/api/v1/clients/erase", token, `{"address": "192.0.2.1"}`); len(r.wrongTokens.of) != 0 {
		t.Errorf("wrong tokens of an erased client: %v", r.wrongTokens.of)
	}
}

// What does not hold stays an error that says why, and names nobody.
func TestEraseFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Erase = func(netip.Addr) (bool, error) { return false, fmt.Errorf("the disk is gone") }
	})
	w := r.do(t, http.MethodPost, "/api/v1/clients/erase", token, `{"address": "10.1.2.3"}`)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "the disk is gone") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// What is not kept is not shown, and the page is told so.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	privacy := api.Privacy{NoClientNames: true, NoPackagesPerClient: true, Days: 90}
	r := newRig(t, func(o *Options) {
		if _, err := o.Ledger.(*ledger.Ledger).Restrict(ledger.Privacy{NoPackages: true}); err != nil {
			t.Fatal(err)
		}
		o.Privacy, o.Resolver = privacy, nil
	})
	if got := get[api.Settings](t, r, "/api/v1/settings").Privacy; got != privacy {
		t.Errorf("settings: %+v", got)
	}
	if got := get[api.Package](t, r, "/api/v1/packages/bash"); len(got.Clients) != 0 || got.Requests != 1 || got.ClientBytes != 1000 {
		t.Errorf("package: %+v", got)
	}
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients"); got.Total != 2 || got.Items[0].ClientBytes != 1000 {
		t.Errorf("clients: %+v", got)
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, client string
		want         bool
	}{
		{"10.1.2.3", "10.1.2.3", true}, {"from 10.1.2.3.", "10.1.2.3", true}, {"10.1.2.3:80: refused", "10.1.2.3", true},
		{"MILLPOND_ALLOW_CLIENTS=10.1.2.3 would", "10.1.2.3", true}, {"::ffff:10.1.2.3", "10.1.2.3", true},
		{"10.1.2.30", "10.1.2.3", false}, {"110.1.2.3", "10.1.2.3", false}, {"bash_10.1.2.3.4", "10.1.2.3", false}, {"", "10.1.2.3", false},
		{"[fd00::1]:80: refused", "fd00::1", true}, {"FD00:0::1%eth0", "fd00::1", true}, {"fd00::12", "fd00::1", false}, {"fd00::", "fd00::", true},
	} {
		if got := mentions(tt.text, netip.MustParseAddr(tt.client)); got != tt.want {
			t.Errorf("%q mentions %s: %v", tt.text, tt.client, got)
		}
	}
}

// An event that names a client is gone after a time; others stay.
func TestEventsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := &Events{Keep: 90 * 24 * time.Hour}
		log := logTo(&bytes.Buffer{}, events)
		log.Warn("of a client", "client", "10.1.2.3")
		log.Warn("of nobody")
		time.Sleep(events.Keep)
		if got := latest(events); len(got) != 2 {
			t.Errorf("on the last day: %+v", got)
		}
		time.Sleep(time.Second)
		if got := latest(events); len(got) != 1 || got[0].Client != "" {
			t.Errorf("after it: %+v", got)
		}
	})
}
