package main

import (
	"net/http"
	"testing"

	"millpond/internal/api"
	"millpond/internal/aptest"
)

// What a client updated from, got and did not get is told of on its page, with the name
// that an administrator gave it and beside what was saved in money; also after a restart.
func TestClientIsRemembered(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 100_000)
	environ := s.privateEnviron(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+siteToken)
	const address = "10.1.2.3"
	absent := s.URL("pool/main/n/none/none_1.0_amd64.deb")

	b := start(t, environ)
	c := newClient(t, b.url)
	for url, want := range map[string]int{
		s.URL("dists/stable/InRelease"):                     http.StatusOK,
		s.URL("dists/stable/main/binary-amd64/Packages.xz"): http.StatusOK,
		s.URL(s.debs[0].Path):                               http.StatusOK,
		absent:                                              http.StatusNotFound,
	} {
		if resp, _ := c.get(t, http.MethodGet, url, "X-Forwarded-For", address); resp.StatusCode != want {
			t.Fatalf("GET %s: %s", url, resp.Status)
		}
	}
	c.CloseIdleConnections()
	change(t, b, http.MethodPut, "clients/name", `{"address": "`+address+`", "name": "reception"}`)
	change(t, b, http.MethodPut, "price", `{"per_gb": 1000, "currency": "EUR"}`)

	told := func(when string) {
		t.Helper()
		v := ask[api.ClientDetail](t, b, "clients/"+address)
		if v.GivenName != "reception" || v.LastUpdate == nil || v.Since == nil {
			t.Errorf("%s: %+v", when, v)
		}
		if len(v.Suites) != 1 || v.Suites[0].Name != "stable" || v.Suites[0].Behind {
			t.Errorf("%s: suites %+v", when, v.Suites)
		}
		if len(v.Packages) != 1 || v.Packages[0].Name != "package0" || v.Packages[0].Bytes != int64(len(s.debs[0].Data)) {
			t.Errorf("%s: packages %+v", when, v.Packages)
		}
		if len(v.Failures) != 1 || v.Failures[0].Status != http.StatusNotFound || v.Failures[0].URL != absent || v.Failures[0].Cause == "" {
			t.Errorf("%s: failures %+v", when, v.Failures)
		}
		if m := summary(t, b.url).Money; m.Price != (api.Price{PerGB: 1000, Currency: "EUR"}) {
			t.Errorf("%s: money %+v", when, m)
		}
	}
	told("at first")
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = start(t, environ)
	told("after a restart")
}
