package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
	"millpond/internal/logs"
)

// latest are all events.
func latest(e *Events) []api.Event {
	all, _ := e.Latest(10_000, func(*api.Event) bool { return true })
	return all
}

// refuse logs a refusal as the proxy does.
func refuse(log *slog.Logger, client, host string) {
	log.Info("request not served", "client", client, "url", "http://"+host+"/a.deb", "status", 403, "err", "host "+host+" is private",
		"setting", "MILLPOND_ALLOW_UPSTREAMS="+host, "failure", "refused")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	var e Events
	var passed strings.Builder
	log := slog.New(e.Handler(slog.NewTextHandler(&passed, &slog.HandlerOptions{Level: slog.LevelWarn}))).With("part", "proxy")
	log.Info("served", "url", "http://a")
	refuse(log, "10.0.0.1", "mirror.lan")
	log.With("url", "http://b/x").Warn("slow")
	refuse(log, "10.0.0.2", "mirror.lan")
	log.Debug("nothing")
	got := latest(&e)
	if len(got) != 2 || e.Last() != 3 {
		t.Fatalf("%d events, the last is %d: %+v", len(got), e.Last(), got)
	}
	if v := got[0]; v.Times != 2 || v.Client != "10.0.0.2" || v.ID != 3 || v.Kind != "refusal" || v.Level != "info" || v.Status != 403 ||
		v.Host != "mirror.lan" || v.Setting != "MILLPOND_ALLOW_UPSTREAMS=mirror.lan" || len(v.Clients) != 2 || v.Clients[1].Address != "10.0.0.1" {
		t.Errorf("refusal: %+v", v)
	}
	if v := got[1]; v.URL != "http://b/x" || v.Level != "warn" || v.Kind != "fault" || v.Times != 1 {
		t.Errorf("warning: %+v", v)
	}
	if s := passed.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "part=proxy") {
		t.Errorf("passed on:\n%s", s)
	}
}

// What failed and for whom stands above, why below: as the log's message has it, and not
// its cause, which alone would say nothing.
func TestHeadlines(t *testing.T) {
	t.Parallel()
	const suite = "http://deb.example.org/debian/dists/trixie"
	for _, tt := range []struct {
		level       slog.Level
		message     string
		attrs       []any
		what, cause string
	}{
		{slog.LevelWarn, "boxes on the network segment cannot be found for now, mDNS is tried again", []any{"err", "Didn't find any IP addresses"},
			"boxes on the network segment cannot be found for now, mDNS is tried again", "Didn't find any IP addresses"},
		{slog.LevelWarn, "file cut short for a client", []any{"client", "10.0.0.1", "url", "http://deb.example.org/debian/pool/b/bash_5_amd64.deb", "err", "the mirror stalled"},
			"file cut short for a client: bash_5_amd64.deb of deb.example.org, for 10.0.0.1", "the mirror stalled"},
		{slog.LevelWarn, "suite not checked, serving the last good Release", []any{"suite", suite, "err", "no answer"},
			"suite not checked, serving the last good Release: deb.example.org/debian/dists/trixie", "no answer"},
		{slog.LevelWarn, "state of a ring not written", []any{"ring", "prod", "suite", suite}, "state of a ring not written: ring prod, deb.example.org/debian/dists/trixie", ""},
		{logs.Notice, "the mirror has no such file", []any{"client", "10.0.0.1", "url", suite + "/InRelease", "mirror", "deb.example.org", "status", 404, "err", "404 Not Found"},
			"the mirror has no such file: InRelease of deb.example.org, for 10.0.0.1", "404 Not Found"},
		{slog.LevelWarn, "peer banned", []any{"peer", "12D3KooW", "strikes", 3}, "peer banned: 12D3KooW", "peer 12D3KooW, strikes 3"},
		{slog.LevelError, "wrong bytes from a source, fetching elsewhere", []any{"url", "http://deb.example.org/debian/pool/b/bash_5_amd64.deb", "source", "peer 12D3KooW"},
			"wrong bytes from a source, fetching elsewhere: bash_5_amd64.deb of deb.example.org", "source peer 12D3KooW"},
		{slog.LevelInfo, "admin action", []any{"action", "pinBlob", "what", "blobs/abc/pin", "client", "10.0.0.9", "result", "done"}, "pinBlob blobs/abc/pin: done", ""},
	} {
		var e Events
		slog.New(e.Handler(slog.DiscardHandler)).Log(t.Context(), tt.level, tt.message, tt.attrs...)
		if got := latest(&e); len(got) != 1 || got[0].What != tt.what || got[0].Cause != tt.cause {
			t.Errorf("%s: %+v", tt.message, got)
		}
	}
}

// A row stands for what differs in numbers only.
func TestRepeatsAreOneRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e Events
		log := slog.New(e.Handler(slog.DiscardHandler))
		begun := time.Now()
		for i := range 100 {
			log.Warn("connection lost", "client", fmt.Sprint("10.0.0.", i), "err", fmt.Errorf("read 10.0.0.%d:%d: reset after %d B", i, 4000+i, i))
			time.Sleep(time.Second)
		}
		log.Warn("connection lost", "err", "refused")
		got := latest(&e)
		if len(got) != 2 || got[1].Times != 100 || !got[1].First.Equal(begun) || !got[1].Time.Equal(begun.Add(99*time.Second)) || len(got[1].Clients) != maxEventClients {
			t.Errorf("%+v", got)
		}
		if !strings.HasSuffix(got[1].What, "for 10.0.0.99 and others") {
			t.Error(got[1].What)
		}
	})
}

// Neither a client that is refused without end nor an archive fills more than its share:
// what others did and what befell the box stays.
func TestEventsAreShared(t *testing.T) {
	t.Parallel()
	var e Events
	log := slog.New(e.Handler(slog.DiscardHandler))
	log.Warn("box broken", "err", strings.Repeat("x", 10_000))
	refuse(log, "10.0.0.1", "quiet.example")
	log.Info("admin action", "action", "pinBlob", "what", "blobs/abc/pin", "client", "10.0.0.9", "result", "done")
	word := func(i int) string { // without digits
		return strings.NewReplacer("0", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6", "g", "7", "h", "8", "i", "9", "j").Replace(fmt.Sprint(i))
	}
	for i := range 5 * maxOfKind {
		refuse(log, "10.0.0.2", word(i)+".example.com")
		log.Log(t.Context(), logs.Notice, "the mirror has no such file", "client", "10.0.0.2", "url", "http://"+word(i)+".example.com/"+strings.Repeat("y", 10_000), "status", 404)
	}
	of := make(map[string]int)
	bytes := 0
	for _, v := range latest(&e) {
		of[v.Kind]++
		bytes += len(v.URL) + len(v.Cause) + len(v.Setting)
	}
	if of["fault"] != 1 || of["audit"] != 1 || of["refusal"] > maxOfKind || of["mirror"] > maxOfKind || of["refusal"] < maxOfKind/2 || of["mirror"] < maxOfKind/4 {
		t.Errorf("events by kind: %v", of)
	}
	if !slices.ContainsFunc(latest(&e), func(v api.Event) bool { return v.Client == "10.0.0.1" }) {
		t.Error("the refusal of another client is gone")
	}
	for kind, p := range e.pools {
		if p.bytes > maxBytesOfKind || p.rows != of[kind] {
			t.Errorf("%s: %+v", kind, *p)
		}
	}
	if len(e.index) != len(e.rows) {
		t.Errorf("%d rows, %d in the index", len(e.rows), len(e.index))
	}
	if v, _ := e.Latest(1, func(v *api.Event) bool { return v.Kind == "fault" }); len(v[0].Cause) > maxText {
		t.Errorf("a cause of %d bytes", len(v[0].Cause))
	}
}

// An event is found by each of its clients, by suite whatever the scheme, and by host.
func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	events := new(Events)
	log := logTo(&bytes.Buffer{}, events)
	r := newRig(t, func(o *Options) { o.Events, o.Log = events, log })
	missing := func(client, url string) {
		log.Log(context.Background(), logs.Notice, "the mirror has no such file", "client", client, "url", url, "status", 404, "err", "404")
	}
	missing("10.0.0.1", "http://deb.example.org/debian/dists/trixie/InRelease")
	missing("fd00::1", "http://deb.example.org/debian/dists/trixie/main/x")
	missing("10.0.0.1", "http://other.example.org/debian/dists/sid/InRelease")
	log.Warn("of nobody", "suite", "https://deb.example.org/debian/dists/trixie")
	for query, want := range map[string]int{
		"": 3, "client=10.0.0.1": 2, "client=FD00:0::1": 1, "client=10.0.0.3": 0, "host=deb.example.org": 2, "host=other.example.org": 1, "kind=mirror": 2, "kind=audit": 0,
		"suite=http://deb.example.org/debian/dists/trixie": 2, "suite=http://deb.example.org/debian/dists/sid": 0, "suite=http://deb.example.org/debian/dists/tri": 0,
		"client=10.0.0.1&host=deb.example.org": 1,
	} {
		if got := get[api.EventList](t, r, "/api/v1/events?"+query); len(got.Events) != want || got.Next != 0 {
			t.Errorf("%s: %d events, want %d: %+v", query, len(got.Events), want, got)
		}
	}
	var ids []int64
	for next := int64(-1); next != 0; {
		got := get[api.EventList](t, r, fmt.Sprintf("/api/v1/events?limit=1&before=%d", max(next, 0)))
		next = got.Next
		ids = append(ids, got.Events[0].ID)
	}
	if !slices.Equal(ids, []int64{4, 3, 2}) {
		t.Errorf("page by page: %v", ids)
	}
	if w := r.do(t, "GET", "/api/v1/events?client=10.0.0.0/8", "", ""); w.Code != 400 {
		t.Errorf("a range: %d", w.Code)
	}
}
