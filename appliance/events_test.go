package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
)

// Events outlive kill -9 if they are a second old: a mirror's 404 with the client, the URL
// and the mirror, a refusal with its setting, and what an administrator did. They are
// counted on where they were, and an erased client is gone from them for good.
func TestEventsSurvive(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	dir := t.TempDir()
	environ := s.privateEnviron(dir)
	p := spawn(t, environ)
	provoke := func(url, client string) {
		t.Helper()
		c := newClient(t, url)
		for want, asked := range map[int]string{
			http.StatusNotFound:  s.URL("dists/stable/main/binary-amd64/none"),
			http.StatusForbidden: "http://10.255.255.1/debian/dists/stable/InRelease",
		} {
			if resp, body := c.get(t, http.MethodGet, asked, "X-Forwarded-For", client); resp.StatusCode != want {
				t.Fatalf("GET %s: %s: %s", asked, resp.Status, body)
			}
		}
		direct := newClient(t, "")
		for _, token := range []string{adminToken, "another-token-than-its-own"} {
			direct.get(t, http.MethodPost, url+"/api/v1/admin/check", "Authorization", "Bearer "+token, "X-Forwarded-For", client)
		}
	}
	provoke(p.url, secretClient)
	for begun := time.Now(); time.Since(begun) < time.Second; { // how late the disk may be
		newClient(t, p.url).get(t, http.MethodGet, s.URL("dists/stable/main/binary-amd64/none"), "X-Forwarded-For", secretClient)
	}
	_ = p.Process.Kill()
	_ = p.Wait()

	b := start(t, environ)
	events := func() (all []api.Event) {
		return slices.DeleteFunc(ask[api.EventList](t, b, "events?limit=200").Events, func(v api.Event) bool { return v.Kind == "fault" && v.Client == "" })
	}
	kind := func(all []api.Event, kind string) (of api.Event) {
		t.Helper()
		i := slices.IndexFunc(all, func(v api.Event) bool { return v.Kind == kind })
		if i < 0 {
			t.Fatalf("no event of kind %s: %+v", kind, all)
		}
		return all[i]
	}
	before := events()
	if v := kind(before, "mirror"); v.Times < 2 || v.Client != secretClient || v.URL != s.URL("dists/stable/main/binary-amd64/none") || v.Host != s.Mirror.Addr() || v.Status != 404 || !v.Time.After(v.First) {
		t.Errorf("a mirror's 404: %+v", v)
	}
	if v := kind(before, "refusal"); v.Times != 1 || v.Setting == "" || v.Client != secretClient {
		t.Errorf("a refusal: %+v", v)
	}
	if v := kind(before, "audit"); v.What != "checkToken admin/check: done" || v.Client != secretClient {
		t.Errorf("the audit: %+v", v)
	}
	if v := kind(before, "fault"); !strings.HasPrefix(v.What, "wrong token") {
		t.Errorf("a wrong token: %+v", v)
	}
	provoke(b.url, otherClient)
	after := events()
	if then, now := kind(before, "refusal"), kind(after, "refusal"); now.Times != 2 || !now.First.Equal(then.First) || now.ID <= then.ID || len(now.Clients) != 2 {
		t.Errorf("again: %+v", now)
	}
	if hour := ask[api.Overview](t, b, "overview").LastHour; hour.Missing != 1 || hour.Refused != 1 || hour.Failed != 0 || hour.Requests < 2 {
		t.Errorf("the last hour: %+v", hour)
	}

	code, _, stderr := program(t, s.privateEnviron(dir, "MILLPOND_LISTEN="+b.Addr().String()), "erase-client", secretClient)
	if code != exitOK {
		t.Fatalf("erasing: %s", stderr)
	}
	if names := filesAbout(t, dir, secretClient); len(names) > 0 {
		t.Errorf("%v still have the client", names)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = start(t, environ)
	for _, v := range events() {
		if v.Client == secretClient || slices.ContainsFunc(v.Clients, func(c api.EventClient) bool { return c.Address == secretClient }) {
			t.Errorf("still there: %+v", v)
		}
	}
	if v := kind(events(), "refusal"); v.Times != 2 || v.Client != otherClient {
		t.Errorf("of the other client: %+v", v)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = start(t, s.privateEnviron(dir, "MILLPOND_PRIVACY=no-clients"))
	for _, v := range events() {
		if v.Client != "" || len(v.Clients) > 0 || strings.Contains(v.What+v.Cause+v.URL, otherClient) {
			t.Errorf("with no-clients: %+v", v)
		}
	}
	if names := filesAbout(t, dir, otherClient); len(names) > 0 {
		t.Errorf("%v still have a client", names)
	}
}

// No answer of the API has the year 1 in it, neither of a box that has just started nor
// of one that was used.
func TestNoYearOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	b := start(t, s.environ(t.TempDir()))
	document := ask[struct {
		Paths map[string]map[string]any
	}](t, b, "openapi.json")
	suite := s.Mirror.URL("/debian/dists/stable")
	look := func(when string) {
		t.Helper()
		answers := 0
		for path, operations := range document.Paths {
			if operations["get"] == nil {
				continue
			}
			_, body := newClient(t, "").get(t, http.MethodGet, b.url+strings.ReplaceAll(path, "{name}", "package0")+"?step=day&suite="+suite)
			answers++
			if strings.Contains(string(body), "0001-01-01") {
				t.Errorf("%s: GET %s: %s", when, path, body)
			}
		}
		if answers < 20 {
			t.Errorf("only %d answers", answers)
		}
	}
	look("new")
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	c.want(t, s.Mirror.URL("/debian")+"/"+s.debs[0].Path, s.debs[0].Data)
	look("used")
}
