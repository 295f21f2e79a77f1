package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
)

// Clients behind a proxy are who the proxy says they are, at the page and in what
// is counted; behind anyone else they are that one.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 20_000)
	for _, tt := range []struct {
		trusted string
		want    []string
	}{
		{"127.0.0.1", []string{"10.0.0.1", "10.0.0.2"}},
		{"192.0.2.1", []string{"127.0.0.1"}},
	} {
		b := start(t, s.environ(t.TempDir(), "MILLPOND_TRUSTED_PROXIES="+tt.trusted, "MILLPOND_DASHBOARD_LISTEN=127.0.0.1:0"))
		target := s.URL(s.debs[0].Path)
		rest := "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		for _, request := range []string{"PROXY TCP4 10.0.0.1 10.0.0.9 999 80\r\n" + rest + "\r\n", rest + "X-Forwarded-For: 10.0.0.2\r\n\r\n"} {
			c, err := net.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(c, request)
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			c.Close()
		}
		if got := clientsOf(t, b); !slices.Equal(got, tt.want) {
			t.Errorf("with MILLPOND_TRUSTED_PROXIES=%s the clients are %q, want %q", tt.trusted, got, tt.want)
		}
	}
}

// clientsOf lists the clients that a box has counted, as its page does.
func clientsOf(t *testing.T, b *box) (names []string) {
	t.Helper()
	c := newClient(t, "")
	_, body := c.get(t, http.MethodGet, "http://"+b.servers[len(b.servers)-1].listener.Addr().String()+"/api/v1/clients?sort=name")
	var page api.Page[api.Account]
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, a := range page.Items {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return names
}
