package proxy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
)

// loopback are the proxies of boxes that tests connect to.
var loopback = front.Proxies{netip.MustParsePrefix("127.0.0.1/32")}

// forwarded is apt's request for url, as a proxy passes it on for clients.
func forwarded(url, clients string) string {
	return strings.Replace(aptRequest(url), "\r\n", "\r\nX-Forwarded-For: "+clients+"\r\n", 1)
}

// Behind a proxy, who may use the box and what is counted go by the client that
// the proxy names.
func TestClientsBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{true, false} {
		b := newBox(func(o *Options) {
			o.AllowClients = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			if trusted {
				o.Proxies = loopback
			} else {
				o.AllowClients = append(o.AllowClients, netip.MustParsePrefix("127.0.0.1/32"))
			}
		}).serve(t)
		b.files[debURL] = gives([]byte("deb"), ledger.FromMirror)
		for _, tt := range []struct {
			fields string
			want   int
		}{
			{"X-Forwarded-For: 10.0.0.7, 203.0.113.9", 200},
			{"Forwarded: for=203.0.113.9;proto=http", 200},
			{"X-Forwarded-For: 203.0.113.9, 10.0.0.7", 403},
			{"X-Forwarded-For: 203.0.113.9, x", 400},
			{"X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.8", 400},
			{"X-Other: x", 403},
		} {
			if !trusted {
				tt.want = 200
			}
			resp, body := b.do(t, http.MethodGet, debURL, tt.fields)
			if resp.StatusCode != tt.want {
				t.Errorf("proxy trusted %v, %s: %s, want %d: %s", trusted, tt.fields, resp.Status, tt.want, body)
			}
		}
		client, n := "203.0.113.9", 2
		if !trusted {
			client, n = "127.0.0.1", 6
		}
		if got := b.ledger.requests[client+" deb.example.org"]; got != n || len(b.ledger.requests) != 1 {
			t.Errorf("counted %v, want %d for %s", b.ledger.requests, n, client)
		}
	}
}

// What is anticipated is what the client behind the proxy may ask for.
func TestAnticipateBehindAProxy(t *testing.T) {
	t.Parallel()
	b, a := newAnticipating(func(o *Options) {
		o.AllowClients, o.Proxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, loopback
	})
	b.anticipate(t.Context(), []byte(forwarded(numbered(1), "10.0.0.7")), "127.0.0.1:1")
	b.anticipate(t.Context(), []byte(forwarded(numbered(2), "203.0.113.9")), "127.0.0.1:1")
	if got := a.next(t, 1); got[0] != numbered(2) || len(a.entries) > 0 {
		t.Errorf("anticipated %q and %d more, want %s alone", got, len(a.entries), numbered(2))
	}
}

// A proxy's connection carries requests of several clients, each of which keeps
// to the generation that it was given itself.
func TestSessionsBehindAProxy(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Proxies = loopback }).serve(t)
	suite := mustLocation(t, headURL).Dir()
	release := digest.Of([]byte("release"))
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: suite}
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Size: 1, Suite: suite}
	b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
		file, err := gives([]byte("release"), ledger.FromMirror)(ctx)
		file.Suite, file.Release = suite, release
		return file, err
	}
	b.files[debURL] = gives([]byte("deb"), ledger.FromMirror)
	c := b.dial(t)
	r := bufio.NewReader(c)
	for _, request := range []string{forwarded(headURL, "10.0.0.1"), forwarded(debURL, "10.0.0.2"), forwarded(debURL, "10.0.0.1")} {
		io.WriteString(c, request)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	b.catalog.mu.Lock()
	defer b.catalog.mu.Unlock()
	if got := b.catalog.given; !got[1].IsZero() || got[2] != release {
		t.Errorf("the clients were given %v, want none and %v", got[1:], release)
	}
}
