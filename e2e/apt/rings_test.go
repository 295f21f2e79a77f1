package apt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// relayFrom passes connections on to the box from another address of loopback, and
// returns where.
func relayFrom(t *testing.T, from, box string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			out, err := d.Dial("tcp", box)
			if err != nil {
				in.Close()
				continue
			}
			for _, ends := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(ends[0], ends[1])
					ends[0].Close()
				}()
			}
		}
	}()
	return "http://" + l.Addr().String()
}

// act asks the box for an action of its administrator.
func (h *history) act(t *testing.T, method, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, h.box.URL+"/api/v1/rings"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
}

// suite is the URL of stable as the API has it.
func (h *history) suite() string { return "http://" + h.mirror.Addr() + "/debian/dists/stable" }

// wantVersions has apt update, and compares which versions it then knows.
func wantVersions(t *testing.T, when string, c *aptest.Client, want map[string]string) {
	t.Helper()
	c.MustApt("update", "--error-on=any")
	got := versions(t, c)
	for name, version := range want {
		if got[name] != version {
			t.Errorf("%s, apt has %s %q, want %q", when, name, got[name], version)
		}
	}
}

// wantFile has apt download a package, and compares it with what the archive had.
func (h *history) wantPackage(t *testing.T, when string, c *aptest.Client, name, version string) {
	t.Helper()
	if out, err := c.Apt(t.Context(), "install", "--download-only", "--allow-downgrades", name+"="+version); err != nil {
		t.Errorf("%s: %v", when, err)
		return
	} else if got, err := c.Downloaded(fmt.Sprintf("%s_%s_amd64.deb", name, version)); err != nil || len(got) < 300_000 {
		t.Errorf("%s: %d bytes, %v: %s", when, len(got), err, out)
	}
}

// TestRings has real apt clients in rings, one that names its ring and one that is bound
// to it by its address: the ring gets updates late, security updates at once, is
// promoted and rolled back, and the mirror has forgotten by then what it needs.
func TestRings(t *testing.T) {
	t.Parallel()
	const bound = "127.0.0.9"
	h := newHistory(t, 10, "MILLPOND_RINGS=canary; prod after=canary delay=1d security=now clients="+bound)
	relay := relayFrom(t, bound, strings.TrimPrefix(h.box.URL, "http://"))
	canary := h.from(t, h.below("/ring/canary"), "stable-security")
	prod := func() map[string]*aptest.Client {
		by := h.from(t, "http://"+h.mirror.Addr()+"/debian", "stable-security")
		by.Proxy(relay)
		return map[string]*aptest.Client{"by path": h.from(t, h.below("/ring/prod"), "stable-security"), "by address": by}
	}
	clients := prod()
	wantProd := func(when string, clients map[string]*aptest.Client, want map[string]string) {
		t.Helper()
		for name, c := range clients {
			wantVersions(t, when+", "+name, c, want)
		}
	}
	one := map[string]string{"tool": "1.1-1", "fix": "1.1-1", "new1": "1.0-1"}
	wantVersions(t, "at first, canary", canary, one)
	wantProd("at first", clients, one)
	h.wantPackage(t, "at first", clients["by path"], "tool", "1.1-1")

	h.publish()
	two := map[string]string{"tool": "1.2-1", "fix": "1.2-1", "new2": "1.0-1"}
	wantVersions(t, "the second generation, canary", canary, two)
	h.wantPackage(t, "the second generation, canary", canary, "tool", "1.2-1")
	wantProd("the second generation", clients, map[string]string{"tool": "1.1-1", "fix": "1.2-1", "new2": ""})
	fresh := prod()
	wantProd("the second generation, new clients", fresh, map[string]string{"tool": "1.1-1", "fix": "1.2-1", "new2": ""})
	for name, c := range fresh { // the mirror has it no more
		h.wantPackage(t, "before the promotion, "+name, c, "tool", "1.1-1")
	}
	plain := h.from(t, h.below(""))
	wantVersions(t, "without a ring", plain, map[string]string{"tool": "1.2-1"})

	var changes api.RingChanges
	if err := json.Unmarshal(h.box.Get("/api/v1/rings/prod/changes?suite="+h.suite()), &changes); err != nil {
		t.Fatal(err)
	}
	if changes.Added != 1 || changes.Replaced != 1 || changes.Removed != 0 || len(changes.Items) != 2 || changes.Items[1] != (api.RingChange{Package: "tool", Architecture: "amd64", Old: "1.1-1", New: "1.2-1"}) {
		t.Errorf("a promotion would bring %+v", changes)
	}
	lane := h.lane(t, "prod")
	if lane.Next == nil || lane.Due == nil || time.Until(*lane.Due) > 24*time.Hour || time.Until(*lane.Due) < 23*time.Hour || !lane.Present.Date.Equal(h.generations[0].Time) {
		t.Errorf("prod: %+v", lane)
	}

	h.act(t, http.MethodPost, "/prod/promote", api.RingAction{Suite: h.suite()})
	wantProd("promoted", clients, two)
	wantProd("promoted, new clients", fresh, two)
	for name, c := range fresh {
		h.wantPackage(t, "promoted, "+name, c, "tool", "1.2-1")
	}

	h.publish()
	wantVersions(t, "the third generation, canary", canary, map[string]string{"tool": "1.3-1"})
	h.act(t, http.MethodPost, "/prod/promote", api.RingAction{})
	wantProd("the third generation, promoted", clients, map[string]string{"tool": "1.3-1", "new3": "1.0-1"})
	h.act(t, http.MethodPost, "/prod/rollback", api.RingAction{Suite: h.suite()})
	// apt keeps a newer Release that it has, until its lists are removed.
	wantProd("rolled back, with lists", clients, map[string]string{"tool": "1.3-1"})
	for _, c := range clients {
		c.Clean()
	}
	wantProd("rolled back", clients, map[string]string{"tool": "1.2-1", "new3": ""})
	for name, c := range clients {
		h.wantPackage(t, "rolled back, "+name, c, "tool", "1.2-1")
	}
	if lane := h.lane(t, "prod"); !lane.Held || lane.Latest == nil || lane.Next != nil {
		t.Errorf("prod: %+v", lane)
	}
	wantVersions(t, "rolled back, canary", canary, map[string]string{"tool": "1.3-1"})

	h.act(t, http.MethodPost, "/canary/hold", api.RingHold{Hold: true})
	h.publish()
	wantVersions(t, "held", canary, map[string]string{"tool": "1.3-1", "new4": ""})
	h.box.Kill()
	h.box.Run()
	wantVersions(t, "held, after a restart", canary, map[string]string{"tool": "1.3-1", "new4": ""})
	wantProd("after a restart", clients, map[string]string{"tool": "1.2-1", "new3": ""})
	h.act(t, http.MethodPost, "/canary/hold", api.RingHold{})
	wantVersions(t, "not held any more", canary, map[string]string{"tool": "1.4-1"})

	var events api.EventList
	if err := json.Unmarshal(h.box.Get("/api/v1/events"), &events); err != nil {
		t.Fatal(err)
	}
	told := false
	for _, e := range events.Events {
		told = told || e.Ring == "canary" && strings.HasPrefix(e.What, "ring not held any more: ring canary")
	}
	if !told {
		t.Errorf("events: %+v", events.Events)
	}
}

// lane is what a ring has of stable.
func (h *history) lane(t *testing.T, ring string) (lane api.RingSuite) {
	t.Helper()
	err := poll.Until(t.Context(), 10*time.Second, "the ring has the suite", func() error {
		for _, s := range list[api.RingSuite](t, h.box, "/api/v1/rings/"+ring+"/suites").Items {
			if s.Suite == h.suite() {
				lane = s
				return nil
			}
		}
		return errors.New("it has not")
	})
	if err != nil {
		t.Fatal(err)
	}
	return lane
}
