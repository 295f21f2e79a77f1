package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// A URL with the box's own name, which the box does not know, is served when
// it comes through the box as proxy.
func TestOwnName(t *testing.T) {
	t.Parallel()
	private := func(host string) error {
		return &mirror.RefusedError{Host: host, Addr: "192.168.1.2", Reason: "192.168.1.2 is a private address", Setting: "MILLPOND_ALLOW_UPSTREAMS=" + host}
	}
	nowhere := func(host string) error {
		return &mirror.UnreachableError{Host: host + ":80", Err: &net.DNSError{Name: host, IsNotFound: true}}
	}
	for _, tt := range []struct {
		name, url string
		outer     error // of Get, where policy does not refuse the host at once
		want      string
	}{
		{"port", "http://nas:3142/deb.example.org" + debPath, nil, "200"},
		{"port, https", "http://nas:3142/https/deb.example.org" + debPath, nil, "200"},
		{"port, marker", "http://nas:3142/HTTPS///deb.example.org" + debPath, nil, "200"},
		{"private address", "http://10.0.0.5/deb.example.org" + debPath, nil, "200"},
		{"name of a private address", "http://nas/deb.example.org" + debPath, private("nas"), "200"},
		{"name of a private address, port", "http://nas:8080/deb.example.org" + debPath, private("nas"), "200"},
		{"name that does not resolve", "http://nas/https/deb.example.org" + debPath, nowhere("nas"), "200"},
		{"not on the list of archives", "http://excluded.example.org/deb.example.org" + debPath, nil, "200"},
		{"name of a private address, host in the path refused", "http://nas/10.0.0.5" + debPath, private("nas"), "403 Refused by millpond: 10.0.0.5 is a private address"},
		{"port, host in the path refused", "http://nas:3142/10.0.0.5" + debPath, nil, "403 Refused by millpond: 10.0.0.5 is a private address"},
		{"port, no archive path", "http://nas:3142/www.example.org/login", nil, "403 Refused by millpond: not an archive path, MILLPOND_ALLOW_UPSTREAMS=www.example.org/*"},
		{"port, own page", "http://nas:3142/setup.sh", nil, "200"},
		{"port, front page", "http://nas:3142/", nil, "200"},
		{"port, no page", "http://nas:3142/debian/dists/stable/InRelease", nil, "403 Refused by millpond: host nas:3142: port 3142 is neither 80 nor 443"},
		{"port, path that begins with a number", "http://nexus:3142/2.0/dists/stable/InRelease", nil, "403 Refused by millpond: host nexus:3142: port 3142 is neither 80 nor 443"},
		{"redirect to a private address", "http://nas/deb.example.org" + debPath, private("elsewhere"), "403 Refused by millpond: host elsewhere: 192.168.1.2"},
		{"redirect to nowhere", "http://nas/deb.example.org" + debPath, nowhere("elsewhere"), "502 millpond: mirror elsewhere:80 cannot be reached"},
		{"away", "http://nas/deb.example.org" + debPath, &mirror.UnreachableError{Host: "nas:80", Err: context.DeadlineExceeded}, "502 millpond: mirror nas:80 cannot be reached"},
		{"an upstream", "http://mirror.example.org/deb.example.org" + debPath, &mirror.StatusError{Code: 404}, "404 : the mirror says 404"},
		{"neither is there", "http://nas/other.example.org" + debPath, private("nas"), "403 Refused by millpond: host nas: 192.168.1.2 is a private address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(nil)
			b.allowClients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			b.files[debURL] = gives([]byte("the file"), ledger.FromMirror)
			b.files["https://deb.example.org"+debPath] = b.files[debURL]
			b.files["http://other.example.org"+debPath] = fails(nowhere("other.example.org"))
			b.files["http://2.0/dists/stable/InRelease"] = fails(nowhere("2.0"))
			if tt.outer != nil {
				b.files[tt.url] = fails(tt.outer)
			}
			r, err := request("GET", tt.url)
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr = "192.0.2.7:1"
			for range 2 {
				// The same again, when the name is known.
				status, body := answerTo(b, r)
				if got := status + " " + body; !strings.HasPrefix(got, tt.want) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
}

// answerTo returns the status of the answer to a request, and the body, which
// tells the cause where no reason phrase can be set.
func answerTo(b *box, r *http.Request) (status, body string) {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return fmt.Sprint(w.Code), w.Body.String()
}

// What comes back to the box by its own name names the next host in its path,
// and may do so once.
func TestOwnNameAllowed(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	b.files[debURL] = gives([]byte("the file"), ledger.FromMirror)
	const via = "Via: 1.1 millpond-test"
	for target, want := range map[string]int{
		"/deb.example.org" + debPath:         200,
		"/nas:80/deb.example.org" + debPath:  508,
		"/https/nas/https/x.y" + debPath:     508,
		"http://deb.example.org" + debPath:   508,
		"http://HTTPS///deb.example.org/x/y": 508,
	} {
		if resp, _ := b.do(t, "GET", target, via); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", target, resp.Status, want)
		}
	}
}

func TestOwnNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n ownNames
		if n.has("nas") {
			t.Error("known from the start")
		}
		n.add("nas")
		time.Sleep(ownNameAge - time.Second)
		if !n.has("nas") {
			t.Error("forgotten early")
		}
		time.Sleep(time.Second)
		if n.has("nas") {
			t.Error("known for ever")
		}
		for i := range 3 * maxOwnNames {
			name := fmt.Sprint("nas", i)
			n.add(name)
			if len(n.since) > maxOwnNames || !n.has(name) {
				t.Fatalf("%d names; %s is known: %v", len(n.since), name, n.has(name))
			}
		}
	})
}

// Only the first request of an update asks for an upstream that there is not.
func TestOwnNameIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBox(nil)
	asked := 0
	const url = "http://nas/deb.example.org" + debPath
	b.files[debURL] = gives([]byte("the file"), ledger.FromMirror)
	b.files[url] = func(context.Context) (*fetch.File, error) {
		asked++
		return nil, &mirror.RefusedError{Host: "nas", Addr: "192.168.1.2"}
	}
	b.serve(t)
	for range 3 {
		if resp, body := b.do(t, "GET", url); resp.StatusCode != 200 || body != "the file" {
			t.Errorf("%s, %q", resp.Status, body)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if got := b.ledger.requests["127.0.0.1 deb.example.org"]; got != 3 || len(b.ledger.requests) != 1 {
		t.Errorf("requests by host: %v", b.ledger.requests)
	}
}
