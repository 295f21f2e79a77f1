package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"millpond/internal/api"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// names is a DNS in memory.
type names struct {
	ips map[string][]string
	txt map[string][]string
}

func (n names) LookupIPAddr(_ context.Context, name string) (found []net.IPAddr, err error) {
	for _, ip := range n.ips[name] {
		found = append(found, net.IPAddr{IP: net.ParseIP(ip)})
	}
	if found == nil {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, err
}

func (n names) LookupTXT(_ context.Context, name string) ([]string, error) { return n.txt[name], nil }

// identityServer is the part of a box's HTTP face that bootstrapping asks; it
// answers 503 the first times.
func identityServer(t *testing.T, b *box, failures int64) *httptest.Server {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/peer" || asked.Add(1) <= failures {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := json.NewEncoder(w).Encode(api.Identity(b.Identity())); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestBootstrapKinds(t *testing.T) {
	t.Parallel()
	first := newBox(t, nil).run(t)
	port, err := first.host.Addrs()[0].ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	dns := names{
		ips: map[string][]string{"boxes.example.org": {"127.0.0.1"}},
		txt: map[string][]string{
			"_dnsaddr.example.org":       {"dnsaddr=/dnsaddr/first.example.org/p2p/" + first.self().String()},
			"_dnsaddr.first.example.org": {"dnsaddr=" + first.dialled()},
		},
	}
	for name, entry := range map[string]string{
		"multiaddr":             first.dialled(),
		"multiaddr without ID":  "/ip4/127.0.0.1/tcp/" + port,
		"multiaddr with a name": "/dns4/boxes.example.org/tcp/" + port,
		"dnsaddr":               "/dnsaddr/example.org",
		"DNS name":              "boxes.example.org:" + port,
		"HTTP":                  identityServer(t, first, 0).URL,
		"HTTP at last":          identityServer(t, first, 3).URL + "/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A source that leads nowhere does not hold up the others.
			b := newBox(t, func(o *settings) {
				o.Bootstrap = []string{"nowhere.example.org", entry}
				o.Network.Public = nil // what an entry leads to is dialled, wherever it is
			})
			b.bootstrap.resolver = dns
			b.run(t)
			// The boxes of the other entries may have met this one by then.
			to := func() (p PeerInfo, ok bool) {
				all := b.Peers()
				i := slices.IndexFunc(all, func(p PeerInfo) bool { return p.ID == first.self().String() })
				if i < 0 {
					return p, false
				}
				return all[i], true
			}
			until(t, "connected", func() bool { _, ok := to(); return ok })
			p, _ := to()
			if p.Path != "direct" || !p.Nearby || p.Agent != "millpond/test" || p.Addr == "" || p.Since.IsZero() {
				t.Errorf("peer %+v", p)
			}
			until(t, "the round trip is measured", func() bool { p, _ := to(); return p.RTT > 0 })
			if n := b.log.count("source=nowhere.example.org"); n != 1 {
				t.Errorf("%d lines about the source that leads nowhere, want 1", n)
			}
		})
	}
}

func TestRejoin(t *testing.T) {
	long(t)
	t.Parallel()
	dir := t.TempDir() + "/identity"
	first := newBox(t, func(o *settings) { o.IdentityFile = dir })
	addr := first.dialled()
	first.run(t)
	b := newBox(t, func(o *settings) { o.Bootstrap = []string{addr} }).run(t)
	until(t, "connected", func() bool { return b.Status().Neighbours == 1 })
	first.stop()
	until(t, "alone", func() bool { return b.Status().Neighbours == 0 })
	listen, _, _ := strings.Cut(addr, "/p2p/")
	newBox(t, func(o *settings) { o.IdentityFile, o.Listen = dir, []string{listen} }).run(t)
	until(t, "connected again", func() bool { return b.Status().Neighbours == 1 })
}

func TestBootstrapBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, err := newBootstrap(nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		b.boxes = newBoxes()
		var mu sync.Mutex // guards at
		var at []time.Duration
		begun := time.Now()
		b.entries = []entry{{"none", func(context.Context) ([]target, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(begun))
			return nil, errors.New("nothing there")
		}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := b.run(ctx); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(60 * time.Second)
		synctest.Wait()
		mu.Lock()
		alone := len(at)
		mu.Unlock()
		b.boxes.set("a box", true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mu.Lock()
		joined := len(at)
		mu.Unlock()
		time.Sleep(10 * recheckEvery)
		synctest.Wait()
		mu.Lock()
		rechecked := len(at)
		mu.Unlock()
		b.boxes.set("a box", false)
		synctest.Wait()
		cancel()
		<-done
		// 50 ms, doubled to 10 s: the sum is 12.75 s after 8 of them, then 10 s each.
		if at[1] != 50*time.Millisecond || at[2] != 150*time.Millisecond || alone < 12 || alone > 14 {
			t.Errorf("attempts at %v, %d in the first minute", at[:4], alone)
		}
		if n := rechecked - joined; n < 9 || n > 10 {
			t.Errorf("%d attempts in 10 intervals with a box connected", n)
		}
		if n := len(at) - rechecked; n != 1 {
			t.Errorf("%d attempts at once when the last box went, want 1", n)
		}
	})
}

func TestParseBootstrap(t *testing.T) {
	t.Parallel()
	for entry, ok := range map[string]bool{
		"/ip4/192.0.2.1/tcp/4001":      true,
		"/dnsaddr/boxes.example.org":   true,
		"boxes.example.org":            true,
		"boxes.example.org:4002":       true,
		"192.0.2.1":                    true,
		"[2001:db8::1]:4001":           true,
		"http://box.example.org:3142":  true,
		"https://box.example.org/pond": true,
		"":                             false,
		"/ip4/192.0.2.1/tcp/port":      false,
		"boxes.example.org:swarm":      false,
		"boxes.example.org:0":          false,
		"boxes.example.org:65536":      false,
		"ftp://box.example.org":        false,
		"http://":                      false,
		"two names":                    false,
	} {
		if _, err := newBootstrap([]string{entry}, nil); (err == nil) != ok {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func FuzzIdentityAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp","addrs":["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"]}`))
	f.Add([]byte(`{"id":"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp","addrs":["/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"]}`))
	f.Add([]byte(`{"id":"","addrs":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseIdentity(body)
		if err != nil {
			return
		}
		if err := got.id.Validate(); err != nil || len(got.addrs) > maxTargets {
			t.Errorf("id %v, %d addresses: %v", got.id, len(got.addrs), err)
		}
		for _, a := range got.addrs {
			if a == nil {
				t.Error("an address that is none")
			}
		}
	})
}
